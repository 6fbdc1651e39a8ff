---@meta
-- The threads that cost most.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.top_options
---@field seconds? number  how long it measures; 1
---@field by? "cpu"|"switches"|"blocked"|"wait"  what comes first: the most time
--- running, the most switches, the most time waiting, the longest wait under
--- way; "cpu"
---@field n? integer  the most rows; 20

---@class green.top_row
---@field id? integer         of a thread that lives
---@field name string
---@field status string       as t:status(), or "ended"
---@field cpu number          seconds that it ran meanwhile
---@field share number        of the time that passed
---@field switches integer    how often it was switched to
---@field blocked number      seconds that its waits took which ended meanwhile
---@field queue_delay number  seconds that it was ready and had no turn
---@field wait_for? string    what it waits for now
---@field since? number       for how many seconds
---@field ended? integer      threads of that name that ended meanwhile: they
--- are one row, with their sums

---@class green.top_list
---@field [integer] green.top_row
---@field seconds number  that passed

--- What each thread does during some seconds, the costliest first. Accounting
--- is on meanwhile. `top()` at the backdoor's prompt prints it, and `luagreen
--- top ADDR` shows it live, by that prompt. Interruptible. May switch. Raises
--- for bad options.
---@param opts? green.top_options
---@return green.top_list
function green.top(opts) end

---@class green.stats
---@field lag green.lag       how long ready threads wait for their turn
---@field run_queue_max integer  most ready threads at a poll, in the last 10 to
--- 20 seconds
---@field poll_time number    seconds in polls that did not sleep; 0 on a host's
--- loop
---@field gc green.collections

--- Each 64th wake-up is timed, from the moment when the thread became ready to
--- the one when it ran. The figures are those of the last 10 to 20 seconds, the
--- same for all that look; luagreen_lag_seconds of green.metrics counts all.
---@class green.lag
---@field count integer  wake-ups that were timed
---@field p50 number     seconds: half of them took at most that long; up to a
--- fifth too much, as the next
---@field p99 number
---@field max number

---@class green.collections
---@field count integer  of the whole heap, since stats() was called first

return green
