---@meta
-- Where print and io.write of a green thread go.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@alias green.sink fun(text: string)|{write: fun(self: any, text: string)}

--- Sets the sink of print and io.write, for the calling thread and for those
--- that it spawns from now on: a function, or an object with write, such as a
--- file. false: the process's stdout again. Without an argument it only returns
--- the sink. Never switches. Raises for anything else, and outside green
--- threads.
---
--- A sink may block. Its own prints go to the process's stdout. If it raises,
--- the thread loses it: the text goes to stdout, a line about it to stderr, and
--- print returns; but an interruption of the thread in its sink (a kill, a
--- timeout, a throw) comes out of print. io.stdout:write, and copies of print
--- that were made before the first sink was set, are not redirected.
---@param sink? green.sink|false
---@return green.sink|false former  the sink so far
function green.output(sink) end

return green
