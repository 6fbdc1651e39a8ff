--- Functions that C calls by name. Modules that decide about errors, the text
--- of a deadlock and so on add theirs here.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"

--- deadlock(what, since, on)   the error that main gets
--- report(err, thread)         an error for which no thread waits
--- blocked(thread, seconds, what, traceback, where)   the watchdog's report,
---                             in a hook of the thread
--- was_blocked(id, seconds)    the same, afterwards, where no hook came
--- swallowed(timeout)          it was caught 1,000 times
--- child_failed(group, thread) the first failure in a group
--- exit()                      main, because another thread called os.exit
--- dump()                      the signal of config.dump_signal came
--- use_resolver(f)             config.resolver was set; false: the system's
---@type table<string, function>
local policy = {}

core.set_policy(policy)

return policy
