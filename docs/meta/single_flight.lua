---@meta
-- Single flight: equal calls share one run.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green
local green = {}

--- A function that calls f once for all calls with equal arguments that come
--- until it is over: they get its results, or raise its very error. The next
--- call after that runs f again. Arguments are equal by rawequal, NaN to
--- itself; their number counts. f runs in a green thread of its own, which no
--- caller's interruption reaches; the last caller to give up kills it. The call
--- is interruptible and may switch; it raises when a run calls itself. Making
--- one never switches. Raises when f is not callable.
---@param f function
---@return function
function green.single_flight(f) end

return green
