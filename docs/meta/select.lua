---@meta
-- Select: one of many things.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- An object, which stands for its usual operation:
---
--- - a queue or a port: get; a thread or an event: join, which gives true and
---   the values, or false and the error;
--- - a lock or a semaphore: acquire; a flag, a condition, a waitgroup or a
---   pool: wait, which gives true;
--- - a ticker: its next tick; a listener: accept; a connection: it can be read,
---   which gives true;
--- - any object whose metatable has a field __waitable, a function that returns
---   one of these for it.
---
--- Or {queue, "put", value}, or {queue, "get"}; the same for a port.
---@alias green.case any

--- Waits until one of the cases can go on, and does that one and no other:
--- values that the others would have taken stay where they are. If several can,
--- the first in the list goes on. Raises for a list that is empty or has a nil
--- between its items; for a case that nobody can wait for, naming it; and the
--- error of the operation. May switch. Interruptible.
---@param cases green.case[]
---@param s? number  time limit in seconds; 0 or less: tries each once
---@return integer i  which case went on
---@return any ...    what its operation returned
---@overload fun(cases: green.case[], s?: number): nil, "timeout"
function green.select(cases, s) end

--- A select over the same things, again and again. Its cases stay with their
--- objects between two calls, so the cost of a call depends on how many things
--- have happened since, not on the number of cases. It takes the same cases as
--- green.select, except {queue, "put", value}. Each call asks its sockets,
--- ports and tickers.
---
--- One thread waits in a selector at a time. While none does, its cases take
--- nothing and delay nobody: a value that comes meanwhile goes to another
--- waiter, or the next call finds it. It holds its objects until it is closed
--- or collected.
---@class green.selector
---@operator len: integer
local Selector = {}

--- Never switches. Raises if a case cannot be waited for, naming it.
---@param cases? green.case[]
---@return green.selector
function green.selector(cases) end

--- Waits until one of the cases can go on, and carries out that one, as
--- green.select does. May switch. Interruptible. Raises when another thread
--- waits in this selector.
---@param s? number  time limit in seconds; 0 or less: tries, and never switches
---@return integer i  which case went on
---@return any ...    what its operation returned
---@overload fun(self: green.selector, s?: number): nil, "timeout"
---@overload fun(self: green.selector, s?: number): nil, "closed"
function Selector:select(s) end

--- Appends a case. Never switches. Raises while a thread waits in it.
---@param case green.case
---@return integer i  its number
function Selector:add(case) end

--- Removes a case; the others keep their numbers. Never switches. Raises while
--- a thread waits in it.
---@param i integer
---@return boolean  true if there was one
function Selector:remove(i) end

--- Ends it: the thread that waits in it, and each later select, gets nil and
--- "closed". A to-be-closed variable does the same. Never switches.
function Selector:close() end
