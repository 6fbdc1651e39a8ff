--- Finds the modules that hold originals of what was replaced: in the variables
--- of their functions, or in their fields.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local std = require "green.runtime.std"
local pairs, setmetatable, table, tostring, type = pairs, setmetatable, table,
  tostring, type
local debug = std.debug

local loaded <const> = core.loaded()

local Captured = {}
Captured.__index = Captured

function Captured:__tostring()
  return ("%s: %s has the original %s"):format(self.place, self.module,
    self.what)
end

local function place_of(f)
  local info = debug.getinfo(f, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

--- A walk over what belongs to one module. `originals` maps values to names.
local Walk = {}
Walk.__index = Walk

function Walk:note(value, place)
  local what = self.originals[value]
  if not what or self.told[what] then return end
  self.told[what] = true
  self.found[#self.found + 1] = setmetatable({module = self.module,
    what = what, place = place}, Captured)
end

function Walk:visit(value, place)
  local kind = type(value)
  if kind ~= "table" and kind ~= "function" then return end
  if self.originals[value] then
    self:note(value, place)
  elseif not self.seen[value] then
    self.seen[value] = true
    self[kind](self, value, place)
  end
end

Walk["function"] = function(self, f)
  if debug.getinfo(f, "S").what == "C" then return end
  local place = place_of(f)
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return end
    self:visit(value, place)
  end
end

function Walk:table(t, place)
  -- next, not pairs: no metamethod of the program runs.
  for key, value in std.next, t do
    self:visit(value, type(key) == "string" and place .. "." .. key or place)
  end
end

--- A module's own functions lie in its table. Other modules, and the program's
--- globals, are told of by themselves.
local function boundaries()
  local seen = {[std._G or _G] = true, [loaded] = true}
  for name, module in pairs(loaded) do
    if type(module) == "table" then seen[module] = name end
  end
  return seen
end

--- The list of what is captured, of all modules that are loaded but those that
--- `skip`, a set of names, has.
return function(originals, skip)
  local found = {}
  if not debug then return found end
  local names = {}
  for name, module in pairs(loaded) do
    if type(name) == "string" and not skip(name)
      and (type(module) == "table" or type(module) == "function") then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in std.ipairs(names) do
    local walk = setmetatable({module = name, originals = originals,
      told = {}, found = found, seen = boundaries()}, Walk)
    local module = loaded[name]
    walk.seen[module] = nil
    if not originals[module] then walk:visit(module, tostring(name)) end
  end
  return found
end
