---@meta
-- Select: one of many things.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- An object, which stands for what one mostly does with it:
---
--- - a queue: get; a thread or an event: join, which gives true and the values,
---   or false and the error;
--- - a lock or a semaphore: acquire; a flag, a condition, a waitgroup or a
---   pool: wait, which gives true;
--- - a ticker: its next tick; a listener: accept; a connection: it can be read,
---   which gives true;
--- - any object whose metatable has a field __waitable, a function that returns
---   one of these for it.
---
--- Or {queue, "put", value}, or {queue, "get"}.
---@alias green.case any

--- Waits until one of the cases can go on, and does that one and no other: what
--- the others would have taken stays where it is. If several can, the first in
--- the list goes on. Raises for what cannot be waited for, naming the case; and
--- what the operation raises. May switch. Interruptible.
---@param cases green.case[]
---@param s? number  time limit in seconds; 0 or less: tries each once
---@return integer i  which case went on
---@return any ...    what its operation returned
---@overload fun(cases: green.case[], s?: number): nil, "timeout"
function green.select(cases, s) end
