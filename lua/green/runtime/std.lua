--- The globals of the standard library at the time when luagreen was loaded.
--- They are the environment of modules that are loaded later, when a program
--- may have variables named `debug` or `table`.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local next, rawequal, require, type = next, rawequal, require, type

-- The same again, if the program has cleared package.loaded.
if core.std then return core.std end

local loaded <const> = core.loaded()
local find <const> = loaded.string.find
local std = {}

for name, value in pairs(_G) do std[name] = value end

--- Is it a library, or what a host leaves of it? The variable of a program may
--- be a table, too.
local function is_part(mine, library)
  if type(mine) ~= "table" then return false end
  for name, f in next, mine do
    if rawequal(f, library[name]) then return true end
  end
  return rawequal(mine, library)
end

-- A program may have had a variable of a library's name before. A library that
-- is no global at all was withheld by the host, if the modules can do without.
for name, needed in pairs {
  math = true, string = true, table = true, coroutine = false, debug = false,
  io = false, os = false, package = false, utf8 = false,
} do
  local mine, library <const> = std[name], loaded[name]
  if (mine ~= nil or needed) and type(library) ~= "table" then
    std[name] = type(mine) == "table" and mine or nil
  elseif (mine ~= nil or needed) and not is_part(mine, library) then
    std[name] = library
  end
end

-- As they are before the program replaces them.
local io <const> = std.io
std.stock_stderr, std.stock_write = io and io.stderr, io and io.write

--- Our modules live once in a state: the handlers that a program has set, and
--- the functions that C calls by name, are theirs.
local modules <const> = {}
function std.require(name)
  local module = modules[name]
  if module ~= nil then return module end
  module = require(name)
  if find(name, "^green%.") then modules[name] = module end
  return module
end

-- Hidden: for the name of a function in a traceback, Lua searches the tables in
-- package.loaded.
core.std = setmetatable({}, {__index = std})
return core.std
