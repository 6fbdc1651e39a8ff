--- Checks the arguments of public functions that are written in Lua. Errors
--- have the same words as those from C, and name the line where the program
--- called the library, past all functions of the library.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local error, getmetatable, math, pairs, pcall, tonumber, tostring, type = error,
  getmetatable, math, pairs, pcall, tonumber, tostring, type
local metafield <const>, outside <const> = core.metafield, core.outside

local check = {}

--- Raises an error that names the program's line; the text is a format.
function check.misuse(text, ...)
  error(outside() .. text:format(...), 0)
end
local misuse <const> = check.misuse

--- Raises: argument n of the function `what` is bad.
function check.bad(n, what, text, ...)
  misuse("bad argument #%d to '%s' (%s)", n, what, text:format(...))
end
local bad <const> = check.bad

--- The same for a value of a wrong type.
function check.wrong(n, what, expected, value)
  bad(n, what, "%s expected, got %s", expected,
    value ~= value and "NaN" or type(value))
end
local wrong <const> = check.wrong

--- The object of a method: raises if its metatable is another one.
function check.self(self, mt, what)
  if getmetatable(self) == (mt.__metatable or mt) then return end
  wrong(1, what, mt.__name, self)
end

--- Is it a function, or can it be called like one?
function check.is_callable(f)
  return type(f) == "function" or metafield(f, "__call") ~= nil
end

--- Kinds of values for which Lua has no type.
local is = {}
is["function"] = check.is_callable
function is.integer(value)
  return type(value) == "number" and math.tointeger(value) and value >= 0
end
function is.seconds(value)
  return type(value) == "number" and value >= 0
end

function is.number(value)
  return type(value) == "number" and value == value
end

function is.any() return true end

function is.family(value)
  return value == "inet" or value == "inet4" or value == "inet6"
end

--- The permissions of a file: "0600", as chmod has them, or the number that
--- these digits stand for. 600, which lacks its quotes, is too large.
function is.mode(value)
  if type(value) ~= "string" then
    return is.integer(value) and value <= tonumber("777", 8)
  end
  return value:find "^0?[0-7][0-7][0-7]$" ~= nil
end

--- As a number; nil stays nil.
function check.mode(value)
  return type(value) == "string" and tonumber(value, 8) or value
end

--- What green.tls looks at closer.
function is.tls(value)
  return value == true or type(value) == "table"
end

local function fits(value, kind)
  if is[kind] then return is[kind](value) end
  return type(value) == kind
end

--- A value in a message: the number or string itself, else its type.
function check.shown(value)
  if type(value) == "string" then return ("%q"):format(value) end
  return type(value) == "number" and tostring(value) or type(value)
end

--- The kinds for which a message shows a value of the right type that does not
--- fit.
local shown = {integer = "number", seconds = "number", number = "number",
               family = "string", mode = "string number"}

--- A description of a value that does not fit.
local function got(value, kind)
  if shown[kind] and shown[kind]:find(type(value), 1, true) then
    return check.shown(value)
  end
  return type(value)
end

--- A value of that type, or of "integer" (not negative), "seconds" or
--- "function" (anything that can be called).
function check.value(value, kind, n, what)
  if fits(value, kind) then return value end
  bad(n, what, "%s expected, got %s", kind, got(value, kind))
end

function check.callable(f, n, what)
  if type(f) == "function" then return end
  check.value(f, "function", n, what)
end

--- Returns a number that is not NaN; accepts a string that reads as a number,
--- as C does.
function check.seconds(s, n, what)
  local seconds = s ~= nil and tonumber(s)
  if not seconds then
    wrong(n, what, "number", s)
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

--- An upper limit: an integer of at least 1, or math.huge.
function check.is_size(n)
  return type(n) == "number" and n >= 1
    and (n == math.huge or math.tointeger(n) ~= nil)
end

--- Has it that method? Any object may stand for one of ours.
function check.has(value, method)
  local ok, found = pcall(function() return value[method] end)
  return ok and found ~= nil
end

--- The limit of a server's handlers: nil, a number, or a pool that runs them.
function check.handlers(limit, n, what)
  if limit == nil or check.has(limit, "spawn_n") then return end
  if type(limit) ~= "number" then
    wrong(n, what, "number or pool", limit)
  end
  if limit ~= limit or limit < 1 then bad(n, what, "at least 1 expected") end
end

--- Options: a table, or nil for none. `known` has the kind of each by name; an
--- unknown option is an error.
function check.options(opts, known, n, what)
  if opts == nil then return {} end
  check.value(opts, "table", n, what)
  for name, value in pairs(opts) do
    local kind = known[name]
    if not kind then
      misuse("unknown option '%s' in '%s'", tostring(name), what)
    elseif not fits(value, kind) then
      misuse("bad option '%s' in '%s' (%s expected, got %s)", name, what, kind,
        got(value, kind))
    end
  end
  return opts
end

return check
