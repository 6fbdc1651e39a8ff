--- Which modules stand for LuaSocket's and LuaSec's, by the names that programs
--- require.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local std = require "green.runtime.std"
local pairs, require, type = pairs, require, type

local modules = {}

local function socket() return require "green.socket" end

--- By patch, then by name: makes the replacement.
modules.made = {
  socket = {
    ["socket"] = socket,
    ["socket.core"] = socket,
    ["socket.unix"] = function() return require "green.socket.unix" end,
    ["socket.serial"] = function() return require "green.socket.serial" end,
  },
  ssl = {
    ["ssl"] = function() return require "green.ssl" end,
    ["ssl.core"] = function() return require "green.net.luasec" end,
  },
}

--- Modules in Lua that are built on these: they are the installed ones, loaded
--- once more, so that what they require is green.
modules.built_on = {
  socket = {"socket.http", "socket.ftp", "socket.smtp", "socket.tp"},
  ssl = {"ssl.https"},
}

--- The libraries of Lua, which everybody shares.
local shared = {}
for name, value in pairs(core.loaded()) do
  if std[name] == value and type(value) == "table" then shared[name] = true end
end

--- Is that module the same for everybody: Lua's own, and ours?
function modules.is_shared(name)
  return shared[name] or name == "_G" or name:find "^green%f[.\0]" ~= nil
end

return modules
