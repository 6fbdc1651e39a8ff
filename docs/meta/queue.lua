---@meta
-- Events and queues: values from thread to thread.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- One value, or error, sent once to all threads that wait, now or later.
---@class green.event
local Event = {}

--- Never switches.
---@return green.event
function green.event() end

--- Waits for the values sent; raises the error sent. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return any ...
---@overload fun(self: green.event, s?: number): nil, "timeout"
function Event:wait(s) end

--- Sends values, true if none is given. Never switches. Raises the second time.
---@param ... any
function Event:send(...) end

--- Each wait raises err. Never switches. Raises when something was sent.
---@param err any
function Event:send_error(err) end

--- Was anything sent? Never switches.
---@return boolean
function Event:ready() end

--- A queue of values, first come, first served; #q is how many are in it.
---@class green.queue
---@operator len: integer
local Queue = {}

--- Never switches. Raises when n is negative.
---@param n? integer  most values in it; 0: put waits for a get; nil: no bound
---@return green.queue
function green.queue(n) end

--- A queue of 0: a put waits until its value is taken. Never switches.
---@return green.queue
function green.channel() end

--- A queue whose get returns the value that was put last. Never switches.
--- Raises when n is negative.
---@param n? integer  most values in it; nil: no bound
---@return green.queue
function green.lifo_queue(n) end

--- A queue whose get returns the least value; equal ones in order of their
--- puts. When less raises, so does the call that compares, and the queue stays
--- as it was. Without less, put refuses NaN. Never switches. Raises when n is
--- negative or less is no function.
---@param n? integer  most values in it; nil: no bound
---@param less? fun(a: any, b: any): boolean  as table.sort's; a < b by default
---@return green.queue
function green.priority_queue(n, less) end

--- Puts a value, false included; blocks while the queue is full. A put that
--- gives up leaves nothing behind. Raises for nil. May switch even without a
--- bound: a producer gives the others a turn now and then. Interruptible.
---@param v any
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.queue, v: any, s?: number): nil, "timeout"
---@overload fun(self: green.queue, v: any, s?: number): nil, "closed"
function Queue:put(v, s) end

--- Waits for the next value; "closed" when the queue is closed and drained.
--- Interruptible. May switch.
---@param s? number  time limit in seconds
---@return any v
---@overload fun(self: green.queue, s?: number): nil, "timeout"
---@overload fun(self: green.queue, s?: number): nil, "closed"
function Queue:get(s) end

--- The value that get would return, or nil. Never switches.
---@return any
function Queue:peek() end

--- Iterates over the values until closed and drained. The iterator is
--- interruptible and may switch.
---@return fun(q: green.queue): any
---@return green.queue
function Queue:items() end

--- Refuses further puts, and waiting ones return nil, "closed"; gets drain the
--- remaining values. Never switches.
function Queue:close() end

--- Drops all values, and counts them as done; waiting puts go on. Never
--- switches.
---@return integer dropped
function Queue:clear() end

--- Sets the bound; waiting puts go on if there is room. Never switches. Raises
--- when n is negative.
---@param n? integer  nil: no bound
function Queue:resize(n) end

--- How many threads wait. Never switches.
---@return integer getters
---@return integer putters
function Queue:waiting() end

--- Marks one value that was taken as done. Never switches. Raises when called
--- more often than values were put.
function Queue:task_done() end

--- Waits until each value that was put is done. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.queue, s?: number): nil, "timeout"
function Queue:join(s) end
