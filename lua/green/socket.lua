--- Sockets with LuaSocket's names and errors: unconnected ones, for programs
--- that set options before they connect or listen.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local extend = require "green.net.streams"

extend(core.open_luasocket())
core.open_luasocket_datagrams()

local socket = {unix = core.luasocket_unix}

--- An unconnected TCP socket, whose descriptor is made when connect or bind has
--- chosen a family.
---@return userdata sock
function socket.tcp() return core.luasocket_tcp() end

--- The same for IPv4 alone; it has a descriptor at once.
---@return userdata? sock
---@return string? err  "too many open files", ...
function socket.tcp4() return core.luasocket_tcp("inet") end

--- The same for IPv6.
---@return userdata? sock
---@return string? err
function socket.tcp6() return core.luasocket_tcp("inet6") end

--- A socket for datagrams, whose descriptor is made when sendto, setpeername or
--- setsockname has chosen a family.
---@return userdata sock
function socket.udp() return core.luasocket_udp() end

--- The same for IPv4 alone; it has a descriptor at once.
---@return userdata? sock
---@return string? err
function socket.udp4() return core.luasocket_udp("inet") end

--- The same for IPv6.
---@return userdata? sock
---@return string? err
function socket.udp6() return core.luasocket_udp("inet6") end

return socket
