--- What luagreen replaces in the standard library, and why.
---
---   coroutine.running   marks the coroutine of a green thread as known to
---                       others, so that it is not used again for another one
---   coroutine.close     of the running one (Lua 5.5): the thread keeps its
---                       name
---   os.exit(c, true)    from a green thread: main closes the state, on the OS
---                       stack, after all others were killed and cleaned up
---   warn                blocking is refused while the warn function runs
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local green = require "green"
local policy = require "green.runtime.policy"
local _VERSION, error, pcall = _VERSION, error, pcall

local HUGE <const> = math.huge

--- A host may have opened neither of these libraries.
local coroutine, os = coroutine or {}, os or {}
local running = coroutine.running
local exit, stock_warn = os.exit, warn

------------------------------------------------------------- coroutines --

local function note(co, main)
  if not main then core.expose(co) end
  return co, main
end

if running then
  function coroutine.running()
    return note(running())
  end
end

if coroutine.close and _VERSION ~= "Lua 5.4" then
  coroutine.close = core.close_of(coroutine.close)
end

-------------------------------------------------------------- the process --

local exit_code

if exit then
  function os.exit(code, closing)
    if not closing then exit(code) end
    exit_code = code
    if core.exit_main() then green.sleep(HUGE) end
    core.drain()
    exit(code, true)
  end
end

--- Main, woken because another thread called os.exit.
function policy.exit()
  core.drain()
  exit(exit_code, true)
end

if stock_warn then
  function _G.warn(...)
    local mine = core.in_warn(true)
    local ok, err = pcall(stock_warn, ...)
    if mine then core.in_warn(false) end
    if not ok then error(err, 0) end
  end
end
