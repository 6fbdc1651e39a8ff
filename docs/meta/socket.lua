---@meta
-- Sockets by LuaSocket's names.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field socket green.socket  loaded on first use
local green = {}

--- Sockets that are not connected yet, for options that must be set before.
--- They keep to LuaSocket's names, to its patterns for `receive`, and to its
--- words for errors: a connection that was reset is "closed".
---@class green.socket
local socket = {}

--- A TCP socket. Its descriptor is made when `connect` or `bind` has chosen a
--- family. Never switches.
---@return green.stream
function socket.tcp() end

--- A TCP socket for IPv4 alone, with a descriptor. Never switches.
---@return green.stream
---@overload fun(): nil, string
function socket.tcp4() end

--- A TCP socket for IPv6 alone, with a descriptor. Never switches.
---@return green.stream
---@overload fun(): nil, string
function socket.tcp6() end

--- A socket for datagrams. Its descriptor is made when `sendto`, `setpeername`
--- or `setsockname` has chosen a family. `receive` cuts at 8192 bytes unless it
--- is told otherwise, and says nothing of it; `sendto` takes numbers, no names.
--- Never switches.
---@return green.datagram
function socket.udp() end

--- One for IPv4 alone, with a descriptor. Never switches.
---@return green.datagram
---@overload fun(): nil, string
function socket.udp4() end

--- One for IPv6 alone, with a descriptor. Never switches.
---@return green.datagram
---@overload fun(): nil, string
function socket.udp6() end

--- A Unix socket. The file that its `bind` makes is left behind. Never
--- switches.
---@return green.stream
function socket.unix() end
