--- The functions of the standard library that luagreen replaces, and why.
---
---   coroutine.running      the coroutine of a green thread is known to others
---                          from now on, and not used again for another one
---   coroutine.isyieldable  false at a green thread's base: nobody is there to
---                          yield to
---   coroutine.resume, .wrap, .close   note which coroutine runs inside which,
---                          for preemption and the watchdog. In Lua 5.5, a
---                          thread whose running coroutine is closed keeps its
---                          name
---   debug.sethook          not where a killed thread is watched, which could
---                          compute for ever then
---   os.exit(c, true)       from a green thread: main closes the state, on the
---                          OS stack, after all others were killed and cleaned
---                          up. The first code counts
---   warn                   blocking is refused while the warn function runs
---
--- The replacements are in bindings/thread/standard.c.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local policy = require "green.runtime.policy"
local _G = _G

local HUGE <const> = math.huge

--- A host may have opened none of these libraries.
local coroutine, debug, os = coroutine or {}, debug or {}, os or {}
local exit = os.exit

core.replace(coroutine, "running")
core.replace(coroutine, "isyieldable")
core.replace(coroutine, "close")
core.replace(coroutine, "resume")
core.replace(coroutine, "wrap")
core.replace(debug, "sethook")
core.replace(os, "exit")
core.replace(_G, "warn")

--- The work of os.exit. Closing the state is main's part, who is told already:
--- a thread that called os.exit only waits for its end.
function policy.leave(code, closing, is_main)
  if closing then
    if not is_main then green.sleep(HUGE) end
    core.drain()
  end
  exit(code, closing)
end
