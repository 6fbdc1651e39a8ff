-- echo_tarantool.lua - an echo server; prints its port.
-- SPDX-License-Identifier: MIT
local socket = require "socket"

local server = socket.tcp_server("127.0.0.1", 0, function(conn)
  conn:setsockopt("SOL_TCP", "TCP_NODELAY", 1)
  while true do
    local data = conn:sysread(65536)
    if data == "" then break end
    if data then
      conn:write(data)
    else
      conn:readable()
    end
  end
end)
print(server:name().port)
io.stdout:flush()
