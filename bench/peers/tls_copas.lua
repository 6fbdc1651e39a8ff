-- tls_copas.lua - an echo server with TLS, by LuaSec; prints its port. Debian
-- has copas for Lua 5.2, whose sources Lua 5.4 takes.
-- SPDX-License-Identifier: MIT
package.path = package.path .. ";/usr/share/lua/5.2/?.lua"
local copas = require "copas"
local socket = require "socket"

local params = {mode = "server", protocol = "any", verify = "none",
                certificate = os.getenv "TLS_CERT", key = os.getenv "TLS_KEY"}

local listener = assert(socket.bind("127.0.0.1", 0, 1024))
print((select(2, listener:getsockname())))
io.stdout:flush()

copas.addserver(listener, copas.handler(function(conn)
  conn:setoption("tcp-nodelay", true)
  while true do
    local data, err, part = conn:receivepartial(65536)
    data = data or part
    if not data or data == "" or not conn:send(data) then break end
    if err and err ~= "timeout" then break end
  end
end, params))
copas.loop()
