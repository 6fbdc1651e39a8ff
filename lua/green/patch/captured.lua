--- Finds the holders of originals of what was replaced: modules, in the
--- variables of their functions and in their fields, those of metatables and of
--- userdata too; globals; and the functions that are running or suspended, in
--- their variables.
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
--- The most functions of a stack that are examined.
local DEEPEST <const> = 200

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

--- What leads on from a value of each type: a method.
local visit = {}

--- Is it a function of the program's, in Lua?
local function is_foreign(info)
  return info.what ~= "C" and not (HOME and info.source:sub(1, #HOME) == HOME)
end

function Walk:add(value, place, variable)
  if not visit[type(value)] then return end
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
  if not is_foreign(info) then return end
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

function Walk:add_metatable(value, place)
  self:add(debug.getmetatable(value), place)
end

--- The functions that a coroutine is in, and their variables; nil: that which
--- runs.
function Walk:add_stack(co)
  local getinfo, getlocal = debug.getinfo, debug.getlocal
  for level = co and 0 or 1, DEEPEST do
    local info
    if co then
      info = getinfo(co, level, "Slf")
    else
      info = getinfo(level, "Slf")
    end
    if not info then return end
    if is_foreign(info) then
      local place = ("%s:%d"):format(info.short_src, info.currentline)
      self:add(info.func, place)
      for i = 1, 255 do
        local name, value
        if co then
          name, value = getlocal(co, level, i)
        else
          name, value = getlocal(level, i)
        end
        if not name then break end
        self:add(value, place, name)
      end
    end
  end
end

visit["function"] = Walk.add_upvalues
visit.thread = Walk.add_stack

function visit.table(self, t, place)
  self:add_fields(t, place)
  self:add_metatable(t, place)
end

function visit.userdata(self, u, place)
  self:add_metatable(u, place)
  for i = 1, 255 do
    local value, is = debug.getuservalue(u, i)
    if not is then return end
    self:add(value, place)
  end
end

--- Visits what was added, and what that leads to.
function Walk:run()
  local values, places = self.values, self.places
  while #values > 0 do
    local value, place = table.remove(values), table.remove(places)
    visit[type(value)](self, value, place)
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
    if visit[type(module)] and not self.originals[module] then
      visit[type(module)](self, module, name)
    end
    self:run()
  end
end

function Walk:globals()
  self:begin "the program"
  for name, value in next, std._G or {} do
    if type(name) == "string" then self:add(value, "global " .. name) end
  end
  self:add_metatable("", "the metatable of strings")
  self:run()
end

--- The variables of the functions that are running.
function Walk:frames()
  self:begin "the program"
  self:add_stack()
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
    if visit[type(module)] then seen[module] = true end
  end
  local walk = setmetatable({originals = originals, seen = seen, found = {},
    values = {}, places = {}}, Walk)
  walk:modules(skip)
  walk:globals()
  walk:frames()
  return walk.found
end
