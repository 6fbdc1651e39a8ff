-- line_copas.lua - a server that echoes lines; prints its port. Debian has
-- copas for Lua 5.2, whose sources Lua 5.4 takes.
-- SPDX-License-Identifier: MIT
package.path = package.path .. ";/usr/share/lua/5.2/?.lua"
local copas = require "copas"
local socket = require "socket"

local listener = assert(socket.bind("127.0.0.1", 0, 1024))
print((select(2, listener:getsockname())))
io.stdout:flush()

copas.addserver(listener, function(conn)
  conn:setoption("tcp-nodelay", true)
  conn = copas.wrap(conn)
  local line = conn:receive("*l")
  while line and conn:send(line .. "\n") do line = conn:receive("*l") end
end)
copas.loop()
