--- The globals of the standard library at the time when luagreen was loaded.
--- They are the environment of modules that are loaded later, when a program
--- may have variables named `debug` or `table`.
---
--- SPDX-License-Identifier: MIT

local std = {}

for name, value in pairs(_G) do std[name] = value end

-- As they are before the program replaces them.
std.stock_stderr, std.stock_write = io and io.stderr, io and io.write

-- Hidden: for the name of a function in a traceback, Lua searches the tables in
-- package.loaded.
return setmetatable({}, {__index = std})
