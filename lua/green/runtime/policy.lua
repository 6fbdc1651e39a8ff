--- What C calls by name: where errors go, what a deadlock says, and so on. The
--- modules that decide it add their functions here.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"

--- deadlock(what, since, on)   the error that main gets
--- report(err, thread)         an error that nobody waits for
--- swallowed(timeout)          it was caught 1,000 times
--- child_failed(group, thread) the first failure in a group
--- exit()                      main, because another thread called os.exit
--- dump()                      the signal of config.dump_signal came
---@type table<string, function>
local policy = {}

core.set_policy(policy)

return policy
