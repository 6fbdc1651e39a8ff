--- The text that io.write writes for a value.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local _VERSION, math, type = _VERSION, math, type

--- Lua 5.4 writes floats by C's format, 5.5 as print shows them.
local SHORT_FLOATS <const> = _VERSION == "Lua 5.4"

--- Raises unless argument number i is a string or a number.
---@return string
return function(value, i)
  local kind = type(value)
  if kind == "string" then return value end
  if kind ~= "number" then check.wrong(i, "write", "string", value) end
  local short = SHORT_FLOATS and math.type(value) == "float"
  return short and ("%.14g"):format(value) or value .. ""
end
