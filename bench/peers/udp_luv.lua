-- udp_luv.lua - a UDP echo server with callbacks; prints "udp:" and its port.
-- SPDX-License-Identifier: MIT
local uv = require "luv"

local server = uv.new_udp()
server:bind("127.0.0.1", 0)
server:recv_start(function(failure, data, from)
  assert(not failure, failure)
  if data then server:try_send(data, from.ip, from.port) end
end)
print("udp:" .. server:getsockname().port)
io.stdout:flush()
uv.run()
