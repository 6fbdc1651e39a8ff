--- monkey_patch and import_patched: existing code on green threads.
---
--- A patch is a name that monkey_patch knows. It puts replacements in place,
--- which are told in modules.lua (modules) and here (global functions), and
--- takes them away again. The former functions are kept as they were: modules
--- that hold on to them go on with them, and are told.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local files = require "green.os.files"
local find_captured = require "green.patch.captured"
local modules = require "green.patch.modules"
local Room = require "green.patch.import"
local std = _ENV
local _G, ipairs, pairs, select, setmetatable, table, tostring, type = _G,
  ipairs, pairs, select, setmetatable, table, tostring, type

local io, os = std.io or {}, std.os or {}
local loaded <const> = core.loaded()
local preload <const> = (std.package or {}).preload or {}

local patch = {}

--------------------------------------------------------------- patches --

--- A patch: put() puts the replacements in place and returns what is replaced:
--- the original by which it is called, and all values by what to call them.
local Patch = {}
Patch.__index = Patch

--- Of fields of tables, such as the globals, or io. `fields` returns a list of
--- {table, key, replacement, what to call it}.
local Fields = setmetatable({}, Patch)
Fields.__index = Fields

function Fields:put()
  local values = {}
  self.former, self.functions = {}, {}
  for _, field in ipairs(self.fields()) do
    local t, key, replacement, what = table.unpack(field)
    local value = t[key]
    if value ~= nil then
      self.former[#self.former + 1] = {t, key, value, replacement}
      self.functions[key] = value
      t[key] = replacement
      values[value] = values[value] or what
    end
  end
  return values
end

--- Values that the program has put there meanwhile stay.
function Fields:take()
  for _, former in pairs(self.former) do
    local t, key, value, replacement = table.unpack(former)
    if t[key] == replacement then t[key] = value end
  end
end

--- Of modules: a later require gets the replacement.
local Modules = setmetatable({}, Patch)
Modules.__index = Modules

--- Functions that belong to nobody, such as table.unpack.
local common = {}
for _, library in pairs(std) do
  if type(library) == "function" then common[library] = true end
  for _, value in std.next, type(library) == "table" and library or {} do
    common[value] = true
  end
end

--- An original module and its functions, by what to call them.
local function add_originals(values, name, module)
  if type(module) ~= "table" and type(module) ~= "function" then return end
  values[module] = values[module] or name
  if type(module) ~= "table" then return end
  for key, value in std.next, module do
    if type(value) == "function" and type(key) == "string"
      and not common[value] then
      values[value] = values[value] or name .. "." .. key
    end
  end
end

--- Fields that a replacement takes over unchanged need no replacing.
local function drop_shared(values, module, replacement)
  if type(module) ~= "table" or type(replacement) ~= "table" then return end
  for key, value in std.next, replacement do
    if value == std.rawget(module, key) then values[value] = nil end
  end
end

--- The module is what is in package.loaded; after that, one of the installed
--- files' if make is nil.
function Modules:replace(name, make, values)
  local module = loaded[name]
  add_originals(values, name, module)
  self.former[#self.former + 1] = {name, module, preload[name]}
  if not make then
    loaded[name] = nil
    return
  end
  modules.former[name] = {module}
  modules.former_preload[name] = {preload[name]}
  preload[name] = make
  loaded[name] = module and make() or nil
  drop_shared(values, module, loaded[name])
end

function Modules:put()
  local values = {}
  self.former = {}
  -- By name: "socket" goes before "socket.core", the same table.
  local names = {}
  for name in pairs(modules.made[self.name]) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    self:replace(name, modules.made[self.name][name], values)
  end
  for _, name in ipairs(modules.built_on[self.name]) do
    self:replace(name, nil, values)
  end
  return values
end

function Modules:take()
  for i = #self.former, 1, -1 do
    local name, module, former_preload = table.unpack(self.former[i], 1, 3)
    loaded[name], preload[name] = module, former_preload
    modules.former[name], modules.former_preload[name] = nil, nil
  end
end

--- What was there under that name: the module, or the table of functions.
function Modules:original()
  local former = modules.former[self.name]
  return former and former[1]
end

local require_function <const> = require "green.patch.require".guarded

--- A library of Lua's that a host has not opened has no patch.
local Files = setmetatable({}, Fields)
Files.__index = Files

function Files:put()
  local values = Fields.put(self)
  for value, what in pairs(files.originals()) do values[value] = what end
  files.enter "all"
  return values
end

function Files:take()
  Fields.take(self)
  files.leave()
end

local function io_fields()
  local list = {}
  if type(_G.print) == "function" then -- else the program's own variable
    list[1] = {_G, "print", files.printer(_G.print), "print"}
  end
  for name, f in pairs(files.io) do
    if name == "write" then f = files.writer(io.write) end
    list[#list + 1] = {io, name, f, "io." .. name}
  end
  return list
end

local patches <const> = {
  require = setmetatable({
    fields = function()
      return {{_G, "require", require_function, "require"}}
    end,
    original = function(self) return self.functions.require end,
  }, Fields),
  io = setmetatable({
    fields = io_fields,
    original = function(self) return self.functions end,
  }, Files),
  os = setmetatable({
    fields = function()
      return {{os, "execute", files.os.execute, "os.execute"}}
    end,
    original = function(self) return self.functions end,
  }, Fields),
  socket = setmetatable({name = "socket"}, Modules),
  ssl = setmetatable({name = "ssl"}, Modules),
}

--- The patches that are in force, in the order in which they were put, and by
--- name.
local in_force = {}

local function is_in_force(name)
  for _, each in ipairs(in_force) do
    if each == name then return true end
  end
  return false
end

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

--- Lua's own modules, ours and replacements may hold originals.
local function is_exempt(name)
  return modules.is_shared(name) or modules.former[name] ~= nil
end

--- Puts those that are not in force. Returns what they replaced, by name of the
--- value; nil if there was nothing to do.
local function put(names)
  local replaced
  for _, name in ipairs(names) do
    if not is_in_force(name) then
      replaced = replaced or {}
      for value, what in pairs(patches[name]:put()) do
        replaced[value] = what
      end
      in_force[#in_force + 1] = name
    end
  end
  return replaced
end

--- The last one first: some replaced what another had put there.
local function undo()
  while in_force[1] do
    patches[table.remove(in_force)]:take()
  end
end

function patch.monkey_patch(names)
  if names == false then
    undo()
    return {}
  end
  if names ~= nil then check_names(names) end
  names = in_order(names)
  local replaced = put(names)
  local result = replaced and find_captured(replaced, is_exempt) or {}
  for _, name in ipairs(names) do result[name] = patches[name]:original() end
  return result
end

function patch.is_patched(name)
  check.value(name, "string", 1, "is_patched")
  return is_in_force(patches[name] and name or modules.patch_of[name])
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

--- The io and os of modules that are imported.
local function globals()
  local room_io, room_os = {}, {execute = files.os.execute}
  for name, f in pairs(files.io) do room_io[name] = f end
  function room_io.popen(...)
    files.enter "some" -- for the methods of its handles
    return files.io.popen(...)
  end
  return {
    io = std.io and setmetatable(room_io, {__index = io, __newindex = io}),
    os = std.os and setmetatable(room_os, {__index = os, __newindex = os}),
  }
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
  if more then return Room.new(replacements(more), globals()), names end
  room = room or Room.new(replacements {}, globals())
  return room, names
end

function patch.import_patched(name, ...)
  check.value(name, "string", 1, "import_patched")
  local where, names = room_for(name, ...)
  local values = {}
  for i, each in ipairs(names) do values[i] = where.require(each) end
  return table.unpack(values, 1, #names)
end

green.monkey_patch = patch.monkey_patch
green.import_patched = patch.import_patched
green.is_patched = patch.is_patched

return patch
