--- Loads modules of their own, with replacements for what they require.
---
--- A room is a set of modules that see each other. Each chunk that is loaded
--- into it gets an environment whose `require`, `package.loaded`, `load`,
--- `io` and the like belong to the room; all other globals are the program's.
--- So whatever a function of the room requires, and whenever it does, comes
--- from the room, and the program's own package.loaded stays as it was.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local check = require "green.runtime.check"
local modules = require "green.patch.modules"
local std = require "green.runtime.std"
local _G, getmetatable, ipairs, load, loadfile, math, pairs, rawget, rawset,
  select, setmetatable, string, table, tostring, type = _G, getmetatable,
  ipairs, load, loadfile, math, pairs, rawget, rawset, select, setmetatable,
  string, table, tostring, type
local debug, package = std.debug, std.package or {}

local loaded <const> = core.loaded()

local Room = {}
Room.__index = Room

--------------------------------------------------------------- loading --

--- A chunk gets the room's environment. Other loaders, of C, have none.
local function move(loader, env)
  if not debug then return end
  for i = 1, math.huge do
    local name = debug.getupvalue(loader, i)
    if not name then return end
    if name == "_ENV" then
      -- Not setupvalue: functions of the program may share the variable.
      debug.upvaluejoin(loader, i, function() return env end, 1)
      return
    end
  end
end

--- The loader of the first searcher that has one, and its data.
local function find_loader(name)
  local messages = {}
  for _, searcher in ipairs(package.searchers) do
    local loader, data = core.call(searcher, name)
    if type(loader) == "function" then return loader, data end
    if type(loader) == "string" then messages[#messages + 1] = loader end
  end
  check.misuse("module '%s' not found:%s", name,
    "\n\t" .. table.concat(messages, "\n\t"))
end

--- A function of package.preload belongs to the program, which may share it: a
--- copy of it runs, if all that it needs is globals.
local function copy(loader)
  if not debug or debug.getinfo(loader, "S").what == "C" then return loader end
  local name = debug.getupvalue(loader, 1)
  if debug.getupvalue(loader, 2) or name and name ~= "_ENV" then
    return loader
  end
  return load(string.dump(loader), "=preload", "b") or loader
end

function Room:load(name)
  local loader, data = find_loader(name)
  if loader == rawget(package.preload, name) then loader = copy(loader) end
  move(loader, self.env)
  local mine = self.loaded
  local value = core.call(loader, name, data)
  if value ~= nil then
    rawset(mine, name, value)
  elseif rawget(mine, name) == nil then
    rawset(mine, name, true)
  end
  return rawget(mine, name), data
end

--- The room's require.
function Room:require(name)
  if type(name) ~= "string" then
    if type(name) ~= "number" then check.value(name, "string", 1, "require") end
    name = tostring(name)
  end
  local value = self.loaded[name]
  if value then return value end
  local make = self.replacements[name]
  if make then
    value = make()
    rawset(self.loaded, name, value)
    return value
  end
  return self:load(name)
end

----------------------------------------------------------- environment --

--- Text that the room compiles sees the room, unless it is told otherwise.
local function add_load(env)
  function env.load(chunk, name, mode, ...)
    if select("#", ...) > 0 then return load(chunk, name, mode, ...) end
    return load(chunk, name, mode, env)
  end
  function env.loadfile(file, mode, ...)
    if select("#", ...) > 0 then return loadfile(file, mode, ...) end
    return loadfile(file, mode, env)
  end
  function env.dofile(file)
    local chunk, err = loadfile(file, nil, env)
    if not chunk then std.error(err, 0) end
    return chunk()
  end
end

--- Of the program's modules the room sees those that everybody shares.
local function new_loaded()
  return setmetatable({}, {__index = function(_, name)
    if type(name) == "string" and modules.is_shared(name) then
      return loaded[name]
    end
  end})
end

--- A room with replacements: name -> function that makes the module; and with
--- globals of its own, by name.
function Room.new(replacements, globals)
  local self = setmetatable({loaded = new_loaded(),
    replacements = replacements}, Room)
  local env = setmetatable({}, {
    __index = _G,
    __newindex = _G,
    __pairs = function() return pairs(_G) end,
    __metatable = getmetatable(_G),
  })
  env._G = env
  env.require = function(name) return self:require(name) end
  env.package = setmetatable({loaded = self.loaded}, {
    __index = package,
    __newindex = package,
  })
  self.loaded._G = env
  self.loaded.package = env.package
  add_load(env)
  for name, value in pairs(globals or {}) do
    env[name] = nil
    rawset(env, name, value)
    rawset(self.loaded, name, value)
  end
  self.env = env
  return self
end

return Room
