-- udp.lua [server] - a UDP echo server; prints "udp:" and its port and serves
-- until it is killed. With an argument each datagram has a thread of its own.
-- SPDX-License-Identifier: MIT
local green = require "green"

collectgarbage "incremental"

local sock = assert(green.udp("127.0.0.1", 0))
print("udp:" .. select(2, sock:getsockname()))
io.stdout:flush()

if arg[1] then
  green.udp_server(sock, function(s, data, ...) s:sendto(data, ...) end)
else
  for data, host, port in sock:datagrams() do sock:sendto(data, host, port) end
end
