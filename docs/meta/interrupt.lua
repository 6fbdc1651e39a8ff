---@meta
-- Interruption: time limits on scopes, shields, and what is pending.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- A time limit on a scope, and the error it raises. Closing cancels it. It can
--- be printed and joined to a string.
---@class green.timeout
---@field seconds? number  nil: never
---@field where string     "file:line" where it was made
---@field thread integer   id of the thread that made it
local Timeout = {}

--- From s seconds on, the calling thread's interruptible calls raise the
--- timeout, or err, until it is cancelled. Up to eight calls that do not have
--- to wait may succeed first. A timeout made in a coroutine belongs to it: it
--- rests while the coroutine is suspended, strikes the thread that resumes it,
--- and is dropped with it. Never switches. Raises when err is false or s is
--- NaN.
---@param s? number  seconds; nil: never
---@param err? any   raised in its place
---@return green.timeout
function green.timeout(s, err) end

--- Ends the limit; harmless when it has ended. Never switches.
function Timeout:cancel() end

--- Starts it again from now, even if it had expired. Never switches. Raises for
--- one of another thread that was cancelled.
---@param s? number  seconds; as before by default
function Timeout:restart(s) end

--- Has the time passed, whether it was raised or not? Never switches.
---@return boolean
function Timeout:expired() end

--- Runs f(...) for at most s seconds. Only its own expiry becomes a value; if f
--- returns after the time is over, its results are returned. Raises what f
--- raises. Interruptible. May switch.
---@param s? number  seconds; nil: no limit
---@param f function
---@param ... any
---@return any ...
---@overload fun(s?: number, f: function, ...): nil, "timeout"
function green.with_timeout(s, f, ...) end

--- Runs f(...) and holds kills and outer timeouts back, for at most s seconds;
--- then they show again. Timeouts made inside work. Raises what f raises, and
--- outside green threads. Interruptible. May switch.
---@param s? number  seconds; config.grace by default
---@param f function
---@param ... any
---@return any ...
function green.shield(s, f, ...) end

--- pcall that lets a pending interruption through. Switches if f does.
---@param f function
---@param ... any
---@return boolean ok
---@return any ...
function green.pcall(f, ...) end

--- The interruption that is pending on the calling thread, or nil. Never
--- raises, never switches.
---@return any
function green.interrupted() end

--- The time when the nearest timeout in force expires, in seconds as
--- green.now(); nil if there is none. Never switches.
---@return number?
function green.deadline() end

--- The seconds that are left until green.deadline(), 0 when it has passed; nil
--- if there is none. For limits: `conn:settimeout(green.time_left())`. Never
--- switches.
---@return number?
function green.time_left() end
