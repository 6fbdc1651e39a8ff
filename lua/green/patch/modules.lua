--- The modules that stand for LuaSocket's and LuaSec's, by the names that
--- programs require.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local std = _ENV
local find_loader = require "green.patch.require".find
local ipairs, pairs, require, type = ipairs, pairs, require, type

local loaded <const> = core.loaded()

local modules = {}

--- LuaSocket has SIGPIPE ignored from then on, and programs lean on that, even
--- where they write to pipes.
local function socket()
  core.ignore_sigpipe()
  return require "green.socket"
end

--- By patch, then by name: makes the replacement.
modules.made = {
  socket = {
    ["socket"] = socket,
    ["socket.core"] = socket,
    ["socket.unix"] = function() return socket().unix end,
    ["socket.serial"] = function() return socket().serial end,
  },
  ssl = {
    ["ssl"] = function() return require "green.ssl" end,
    ["ssl.core"] = function() return require "green.patch.luasec" end,
  },
}

--- Modules in Lua that are built on these. They are the installed ones, loaded
--- once more, so that what they require is green. "ltn12", "mime", "ssl.x509"
--- and the like never wait.
modules.built_on = {
  socket = {"socket.http", "socket.ftp", "socket.smtp", "socket.tp",
            "socket.url", "socket.headers", "ssl.https"},
  ssl = {"ssl.https"},
}

--- By name: the patch that replaces the module.
modules.patch_of = {}
for patch, made in pairs(modules.made) do
  for name in pairs(made) do modules.patch_of[name] = patch end
  for _, name in ipairs(modules.built_on[patch]) do
    modules.patch_of[name] = patch
  end
end

--- The libraries of Lua, which everybody shares.
local shared = {}
for name, value in pairs(loaded) do
  if std[name] == value and type(value) == "table" then shared[name] = true end
end

--- Is that module the same for everybody: Lua's own, and ours?
function modules.is_shared(name)
  return shared[name] or name == "_G" or name:find "^green%f[.\0]" ~= nil
end

--- By name: the former values in package.loaded and package.preload. A value is
--- in a table, as it may be nil.
modules.former, modules.former_preload = {}, {}

--- Is that loader one of ours?
function modules.is_replacement(loader)
  for _, made in pairs(modules.made) do
    for _, make in pairs(made) do
      if make == loader then return true end
    end
  end
  return false
end

--- The installed module of a name that has a replacement. It is not left in
--- package.loaded, unless it was there.
function modules.original(name)
  local former = modules.former[name]
  former = former and former[1] or not former and loaded[name]
  if former then return former end
  former = modules.former_preload[name]
  if former and former[1] then
    return core.call(former[1], name, ":preload:")
  end
  local loader, data = find_loader(name, modules.is_replacement)
  return core.call(loader, name, data)
end

return modules
