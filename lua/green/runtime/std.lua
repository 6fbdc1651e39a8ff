--- The globals of the standard library at the time when luagreen was loaded.
--- They are the environment of modules that are loaded later, when a program
--- may have variables named `debug` or `table`.
---
--- SPDX-License-Identifier: MIT

local loaded <const> = require "green.core".loaded()

local std = {}

for name, value in pairs(_G) do std[name] = value end

-- A program may have had a variable of a library's name before. A library that
-- is no global at all was withheld by the host.
for _, name in ipairs {"coroutine", "debug", "io", "os", "package", "utf8"} do
  local library = std[name]
  if library ~= nil and type(library) ~= "table" then
    library = loaded[name]
    std[name] = type(library) == "table" and library or nil
  end
end

-- As they are before the program replaces them.
local io <const> = std.io
std.stock_stderr, std.stock_write = io and io.stderr, io and io.write

-- Hidden: for the name of a function in a traceback, Lua searches the tables in
-- package.loaded.
return setmetatable({}, {__index = std})
