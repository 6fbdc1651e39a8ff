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

--- A number that is no NaN; a string that reads as a number is one, as for C.
function check.seconds(s, n, what)
  if type(s) ~= "number" and (s == nil or not tonumber(s)) then
    bad(n, what, "number expected, got " .. type(s))
  elseif s ~= s then
    bad(n, what, "seconds expected, got NaN")
  end
end

--- A function, or what can be called like one, also behind a __metatable.
function check.callable(f, n, what)
  local mt = debug.getmetatable(f)
  if type(f) ~= "function" and not (mt and mt.__call ~= nil) then
    bad(n, what, "function expected, got " .. type(f))
  end
end

return check
