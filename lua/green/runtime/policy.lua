--- Functions that C calls by name. Modules that decide about errors, the text
--- of a deadlock and so on add theirs here.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local load_module <const> = require "green.runtime.late"
local rawget, setmetatable = rawget, setmetatable

--- deadlock(what, since, on)   the error that main gets
--- report(err, thread)         an error for which no thread waits
--- blocked(thread, seconds, what, traceback, where)   the watchdog's report,
---                             in a hook of the thread
--- was_blocked(id, seconds)    the same, afterwards, where no hook came
--- plain(value)                its text, without running the program's code
--- swallowed(timeout)          it was caught 1,000 times
--- child_failed(group, thread) the first failure in a group
--- leave(code, closing, is_main)   os.exit
--- dump()                      the signal of config.dump_signal came
--- dump_stuck(seconds, in_c)   it came so long ago, and the loop does not turn:
---                             in a hook of what runs, or beside it
--- use_resolver(f)             config.resolver was set; false: the system's
---@type table<string, function>
local policy = {}

--- The modules that define them, which may not be loaded yet.
local home <const> = {
  deadlock = "green.runtime.errors",
  report = "green.runtime.errors",
  plain = "green.runtime.errors",
  swallowed = "green.runtime.errors",
  dump = "green.runtime.dump",
  dump_stuck = "green.runtime.dump",
  blocked = "green.bounds.blocked",
  was_blocked = "green.bounds.blocked",
  use_resolver = "green.net.net",
}

setmetatable(policy, {__index = function(_, name)
  if not home[name] then return nil end
  load_module(home[name])
  return rawget(policy, name)
end})

core.set_policy(policy)

return policy
