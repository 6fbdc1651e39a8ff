---@meta
-- Time: a clock and a ticker.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- Monotonic seconds, for deadlines and durations. Never switches.
---@return number
function green.now() end

--- Ticks every s seconds: `for n in green.ticker(s) do ... end`. It keeps its
--- phase; it skips missed ticks, and n counts them. Each tick goes to one of
--- the waiters. A to-be-closed variable closes it.
---@class green.ticker
---@operator call: integer?
local Ticker = {}

--- Never switches. Raises when s is not a positive, finite number.
---@param s number  seconds between two ticks
---@return green.ticker
function green.ticker(s) end

--- Waits for the next tick, and returns its number. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return integer n
---@overload fun(self: green.ticker, s?: number): nil, "timeout"
---@overload fun(self: green.ticker, s?: number): nil, "closed"
function Ticker:wait(s) end

--- Ends it: a wait returns nil and "closed", and a loop over it ends. Never
--- switches.
function Ticker:close() end
