--- monkey_patch and import_patched: existing code on green threads.
---
--- A patch is a name that monkey_patch knows. It puts replacements in place,
--- which are told in modules.lua (modules) and here (global functions), and
--- takes them away again. What was there is kept as it was: modules that hold
--- on to it go on with it, and are told.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local find_captured = require "green.patch.captured"
local modules = require "green.patch.modules"
local Room = require "green.patch.import"
local std = require "green.runtime.std"
local _G, ipairs, pairs, select, setmetatable, table, tostring, type = _G,
  ipairs, pairs, select, setmetatable, table, tostring, type

local loaded <const> = core.loaded()
local preload <const> = (std.package or {}).preload or {}

local patch = {}

--------------------------------------------------------------- patches --

--- A patch: put() puts the replacements in place and returns what is replaced:
--- the original by which it is called, and all values by what to call them.
local Patch = {}
Patch.__index = Patch

--- Of fields of a table, such as the globals, or io.
local Fields = setmetatable({}, Patch)
Fields.__index = Fields

function Fields:put()
  local originals = {}
  self.former = {}
  for name, replacement in pairs(self.replacements()) do
    local value = self.table[name]
    self.former[name] = value
    self.table[name] = replacement
    if value ~= nil then originals[value] = self.prefix .. name end
  end
  return self.whole or self.former[self.name], originals
end

function Fields:take()
  for name, value in pairs(self.former) do self.table[name] = value end
  self.former = nil
end

--- Of modules: who requires one later gets the replacement.
local Modules = setmetatable({}, Patch)
Modules.__index = Modules

--- An original module and its functions, by what to call them.
local function add_originals(originals, name, module)
  if module == nil or module == true then return end
  originals[module] = originals[module] or name
  if type(module) ~= "table" then return end
  for key, value in std.next, module do
    if type(value) == "function" and type(key) == "string" then
      originals[value] = originals[value] or name .. "." .. key
    end
  end
end

function Modules:put()
  local originals = {}
  self.former, self.preloads = {}, {}
  for name, make in pairs(modules.made[self.name]) do
    add_originals(originals, name, loaded[name])
    self.former[name] = {loaded[name]}
    self.preloads[name] = {preload[name]}
    loaded[name] = nil
    preload[name] = make
  end
  for _, name in ipairs(modules.built_on[self.name]) do
    self.former[name] = {loaded[name]}
  end
  return self.former[self.name][1] or false, originals
end

--- Only after originals were looked for: these hold some.
function Modules:settle()
  for _, name in ipairs(modules.built_on[self.name]) do loaded[name] = nil end
end

function Modules:take()
  for name, former in pairs(self.former) do loaded[name] = former[1] end
  for name, former in pairs(self.preloads) do preload[name] = former[1] end
  self.former, self.preloads = nil, nil
end

function Patch.settle() end

local patches <const> = {
  require = setmetatable({name = "require", table = _G, prefix = "",
    replacements = function()
      return {require = require "green.patch.require"}
    end}, Fields),
  socket = setmetatable({name = "socket"}, Modules),
  ssl = setmetatable({name = "ssl"}, Modules),
}

--- What was there before, by patch; nil: it is not in force.
local originals = {}

---------------------------------------------------------- monkey_patch --

local function check_names(names)
  check.value(names, "table", 1, "monkey_patch")
  for name, wanted in pairs(names) do
    if not patches[name] then
      check.misuse("unknown name '%s' in 'monkey_patch'", tostring(name))
    elseif type(wanted) ~= "boolean" then
      check.misuse("bad value for '%s' in 'monkey_patch' (%s expected, got %s)",
        name, "boolean", type(wanted))
    end
  end
end

--- The names in a fixed order: the result is the same each time.
local function in_order(names)
  local list = {}
  for name in pairs(patches) do
    if not names or names[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local function put(names)
  local replaced, new = {}, {}
  for _, name in ipairs(names) do
    if originals[name] == nil then
      local original, values = patches[name]:put()
      originals[name] = original
      for value, what in pairs(values) do replaced[value] = what end
      new[#new + 1] = name
    end
  end
  return replaced, new
end

--- Is that module itself replaced, or loaded anew? Lua's own and ours hold
--- originals rightly.
local function is_ours(name)
  return modules.is_shared(name) or patch.is_patched_module(name)
end

function patch.is_patched_module(name)
  for key, made in pairs(modules.made) do
    if made[name] then return originals[key] ~= nil end
  end
  return false
end

local function undo()
  for _, name in ipairs(in_order()) do
    if originals[name] ~= nil then
      patches[name]:take()
      originals[name] = nil
    end
  end
end

function patch.monkey_patch(names)
  if names == false then
    undo()
    return {}
  end
  if names ~= nil then check_names(names) end
  names = in_order(names)
  local replaced, new = put(names)
  local result = std.next(replaced) and find_captured(replaced, is_ours) or {}
  for _, name in ipairs(new) do patches[name]:settle() end
  for _, name in ipairs(names) do
    result[name] = originals[name] or nil
  end
  return result
end

function patch.is_patched(name)
  check.value(name, "string", 1, "is_patched")
  if patches[name] then return originals[name] ~= nil end
  return patch.is_patched_module(name)
end

-------------------------------------------------------- import_patched --

--- All replacements of modules, by name, and those of `more` before them.
local function replacements(more)
  local all = {}
  for _, made in pairs(modules.made) do
    for name, make in pairs(made) do all[name] = make end
  end
  for name, module in pairs(more) do
    all[name] = function() return module end
  end
  return all
end

local room

--- Returns the room for these arguments, and the names among them: a string is
--- a name, a table has replacements.
local function room_for(...)
  local names, more = {}, nil
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "table" then
      more = more or {}
      for name, module in pairs(value) do
        if type(name) ~= "string" then
          check.bad(i, "import_patched", "name of a module expected, got %s",
            check.shown(name))
        end
        more[name] = module
      end
    else
      names[#names + 1] = check.value(value, "string", i, "import_patched")
    end
  end
  if more then return Room.new(replacements(more)), names end
  room = room or Room.new(replacements {})
  return room, names
end

function patch.import_patched(name, ...)
  check.value(name, "string", 1, "import_patched")
  local where, names = room_for(name, ...)
  local values = {}
  for i, each in ipairs(names) do values[i] = where:require(each) end
  return table.unpack(values, 1, #names)
end

green.monkey_patch = patch.monkey_patch
green.import_patched = patch.import_patched
green.is_patched = patch.is_patched

return patch
