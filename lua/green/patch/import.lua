--- Loads modules of their own, with replacements for what they require.
---
--- A room is a set of modules that see each other. Each chunk that is loaded
--- into it gets an environment whose `require`, `package.loaded`, `load`,
--- `io` and the like belong to the room; all other globals are the program's.
--- So whatever a function of the room requires, and whenever it does, comes
--- from the room, and the program's own package.loaded stays as it was.
---
--- Modules in C see no environment: one that the program has loaded is shared.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local modules = require "green.patch.modules"
local loaders = require "green.patch.require"
local std = _ENV
local _G, error, ipairs, load, loadfile, math, pairs, pcall, rawequal, rawget,
  rawset, select, setmetatable, string, type = _G, error, ipairs, load,
  loadfile, math, pairs, pcall, rawequal, rawget, rawset, select, setmetatable,
  string, type
local debug, package = std.debug, std.package or {}

local loaded <const> = core.loaded()

local Room = {}
Room.__index = Room

--------------------------------------------------------------- loading --

--- A copy of a function in Lua that shares its variables, but for the globals.
--- The function itself may be the program's, as one of package.preload is.
local function copy(f, dumped, env)
  local twin = load(dumped, nil, "b", env)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(f, i)
    if not name then return twin end
    if name == "_ENV" or rawequal(value, _G) then
      -- Not setupvalue, which would change a variable that is shared.
      debug.upvaluejoin(twin, i, function() return env end, 1)
    else
      debug.upvaluejoin(twin, i, f, i)
    end
  end
end

--- A loader whose globals are the room's; the loader itself if it is in C.
local function move(loader, data, env)
  if debug then
    local is_lua, dumped = pcall(string.dump, loader)
    return is_lua and copy(loader, dumped, env) or loader, is_lua
  end
  -- Without the library debug a file is compiled once more.
  local chunk = type(data) == "string" and loadfile(data, nil, env)
  return chunk or loader, chunk ~= nil
end

--- What finds modules for the room: a loader and its data.
local function finder(self)
  return function(name)
    local make = self.replacements[name]
    if make then return make, ":green:" end
    local loader, data = loaders.find(name, modules.is_replacement)
    local moved, is_lua = move(loader, data, self.env)
    if not is_lua and loaded[name] ~= nil then
      return function() return loaded[name] end, data
    end
    return moved, data
  end
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
    if not chunk then error(err, 0) end
    return chunk()
  end
end

--- A change that a module makes to _G, such as giving it a metatable, is made
--- to the program's globals.
local function add_access(env)
  for _, name in ipairs {"getmetatable", "setmetatable", "rawget", "next"} do
    local f = std[name]
    env[name] = function(t, ...)
      if rawequal(t, env) then return f(_G, ...) end
      return f(t, ...)
    end
  end
  function env.rawset(t, key, value)
    local is_global = rawequal(t, env) and rawget(env, key) == nil
    return rawset(is_global and _G or t, key, value)
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
    __pairs = function() return pairs(_G) end,
  })
  self.env = env
  env._G = env
  self.require = loaders.new(self.loaded, finder(self))
  env.require = self.require
  env.package = setmetatable({loaded = self.loaded}, {
    __index = package,
    __newindex = package,
  })
  add_load(env)
  add_access(env)
  for name, value in pairs(globals or {}) do env[name] = value end
  -- From now on what a module sets is the program's.
  std.getmetatable(env).__newindex = _G
  for _, name in ipairs {"_G", "package", "io", "os"} do
    self.loaded[name] = rawget(env, name)
  end
  return self
end

return Room
