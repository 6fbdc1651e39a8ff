--- Arguments of public functions that are written in Lua: what is wrong with
--- them is said in the words of those in C, and where the caller is.
---
--- SPDX-License-Identifier: MIT

local check = {}

--- Raises where the public function that calls a function of this module was
--- called.
local function bad(n, what, text)
  error(("bad argument #%d to '%s' (%s)"):format(n, what, text), 4)
end

--- A number that is no NaN, which it returns; a string that reads as a number
--- is one, as for C.
function check.seconds(s, n, what)
  local seconds = s ~= nil and tonumber(s)
  if not seconds then
    bad(n, what, "number expected, got " .. type(s))
  elseif seconds ~= seconds then
    bad(n, what, "seconds expected, got NaN")
  end
  return seconds
end

--- A time limit: nil, or seconds.
function check.limit(s, n, what)
  if s == nil then return nil end
  return check.seconds(s, n, what)
end

--- Has its metatable a field, also behind a __metatable?
function check.has(value, event)
  local mt = debug.getmetatable(value)
  return type(mt) == "table" and rawget(mt, event) ~= nil
end

--- Is it a function, or can it be called like one?
function check.is_callable(f)
  return type(f) == "function" or check.has(f, "__call")
end

function check.callable(f, n, what)
  if not check.is_callable(f) then
    bad(n, what, "function expected, got " .. type(f))
  end
end

return check
