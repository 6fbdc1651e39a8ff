---@meta
-- Where print and io.write of a green thread go.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@alias green.sink fun(text: string)|{write: fun(self: any, text: string)}

--- Sets where print and io.write of the calling thread go, and of the threads
--- that it spawns from now on: to a function, or to the write of an object, a
--- file too. false: to the process's stdout again. Without an argument it only
--- tells. Never switches. Raises for anything else, and outside green threads.
---
--- A sink may block. What it prints itself goes to the process's stdout. One
--- that raises is taken off the thread: the text goes to stdout, a line about
--- it to stderr, and print returns; but what strikes the thread in its sink (a
--- kill, a timeout, a throw) is raised by print. io.stdout:write, and copies of
--- print that were made before the first sink was set, are not redirected.
---@param sink? green.sink|false
---@return green.sink|false former  the sink so far
function green.output(sink) end

return green
