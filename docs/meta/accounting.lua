---@meta
-- Accounting: what each thread costs.
-- While green.config{accounting = true} is in force (false by default), each
-- switch reads the clock twice.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green.options
---@field accounting? boolean  count for each thread what t:stats() shows; false

---@class green.thread
local Thread = {}

---@class green.thread.stats
---@field status string      as t:status()
---@field switches integer   how often it was switched to
---@field cpu number         seconds of real time that it ran
---@field blocked number     seconds that it waited, from the beginning of each
--- wait to its going on; a wait under way counts
---@field queued number      seconds that it was ready and had no turn
---@field stack integer      bytes touched of the C stack it has now; 0: none

--- The cost of the thread so far. switches, cpu and blocked count only while
--- config.accounting is on; otherwise they keep their values, 0 at first.
--- Never switches.
---@return green.thread.stats
function Thread:stats() end
