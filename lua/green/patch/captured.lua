--- Finds the holders of originals of what was replaced: modules, in the
--- variables of their functions or in their fields; globals; and the functions
--- that are running, in their variables.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local std = _ENV
local ipairs, next, pairs, setmetatable, table, type = ipairs, next, pairs,
  setmetatable, table, type
local debug = std.debug

local loaded <const> = core.loaded()
--- Where our own files are, as debug.getinfo says it.
local HOME <const> = debug and
  debug.getinfo(1, "S").source:match "^(.*/)patch/[^/]*$"

--- Bytes of a path from which on no fields are added.
local LONGEST <const> = 60

local Captured = {}

function Captured:__tostring()
  return ("%s: %s has the original %s%s"):format(self.place, self.module,
    self.what, self.variable and (" in '%s'"):format(self.variable) or "")
end

--- A walk over what can be reached. Not recursive, as a list of the program's
--- may be long.
---   originals      from a value to its name
---   seen           what was visited, and what is visited by itself
---   values, places what is to be visited yet
---   module, told   whose things these are; the names that were told of it
local Walk = {}
Walk.__index = Walk

function Walk:add(value, place, variable)
  local kind = type(value)
  if kind ~= "table" and kind ~= "function" then return end
  local what = self.originals[value]
  if what then
    if self.told[what] then return end
    self.told[what] = true
    self.found[#self.found + 1] = setmetatable({module = self.module,
      what = what, place = place, variable = variable}, Captured)
  elseif not self.seen[value] then
    self.seen[value] = true
    self.values[#self.values + 1] = value
    self.places[#self.places + 1] = place
  end
end

function Walk:add_upvalues(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return end
  if HOME and info.source:sub(1, #HOME) == HOME then return end
  local place = ("%s:%d"):format(info.short_src, info.linedefined)
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return end
    self:add(value, place, name)
  end
end

--- The path of a field; of the first fields, if it is a long one.
local function path_of(place, key)
  if type(key) ~= "string" or #place > LONGEST then return place end
  return place .. "." .. key
end

--- next, not pairs: no metamethod of the program runs.
function Walk:add_fields(t, place)
  for key, value in next, t do
    self:add(value, path_of(place, key))
    self:add(key, place)
  end
end

--- Visits what was added, and what that leads to.
function Walk:run()
  local values, places = self.values, self.places
  while #values > 0 do
    local value, place = table.remove(values), table.remove(places)
    if type(value) == "function" then
      self:add_upvalues(value)
    else
      self:add_fields(value, place)
    end
  end
end

--- Values reached from now on belong to that one.
function Walk:begin(module)
  self.module, self.told = module, {}
end

function Walk:modules(skip)
  local names = {}
  for name in pairs(loaded) do
    if type(name) == "string" and not skip(name) then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local module = loaded[name]
    self:begin(name)
    if type(module) == "function" then
      self:add_upvalues(module)
    elseif type(module) == "table" and not self.originals[module] then
      self:add_fields(module, name)
    end
    self:run()
  end
end

--- Lua's own globals hold nothing of the program's.
function Walk:globals()
  self:begin "the program"
  for name, value in next, std._G or {} do
    if type(name) == "string" and std[name] ~= value then
      self:add(value, "global " .. name)
    end
  end
  self:run()
end

--- The variables of the functions that are running.
function Walk:frames()
  self:begin "the program"
  for level = 3, 200 do
    local info = debug.getinfo(level, "Slf")
    if not info then break end
    if info.what ~= "C" and info.source:sub(1, #(HOME or "")) ~= HOME then
      local place = ("%s:%d"):format(info.short_src, info.currentline)
      self:add_upvalues(info.func)
      for i = 1, 255 do
        local name, value = debug.getlocal(level, i)
        if not name then break end
        self:add(value, place, name)
      end
    end
  end
  self:run()
end

--- A list of what is captured. `skip` tells which modules are not looked at.
---@param originals table<any, string>  from a value to what to call it
---@param skip fun(name: string): boolean
---@return table list
return function(originals, skip)
  if not debug then return {} end
  local seen = {[std._G or loaded] = true, [loaded] = true}
  -- Each module is visited by itself, and ours are not.
  for _, module in pairs(loaded) do
    if type(module) == "table" or type(module) == "function" then
      seen[module] = true
    end
  end
  local walk = setmetatable({originals = originals, seen = seen, found = {},
    values = {}, places = {}}, Walk)
  walk:modules(skip)
  walk:globals()
  walk:frames()
  return walk.found
end
