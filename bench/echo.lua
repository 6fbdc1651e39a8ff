-- echo.lua - an echo server; prints its port and serves until it is killed.
-- SPDX-License-Identifier: MIT
local green = require "green"

-- A connection's message lives until its next one comes: to a generational
-- collector, which lua5.4 begins with, it is old by then.
collectgarbage "incremental"

local listener = assert(green.listen("127.0.0.1", 0, {backlog = 1024}))
print((select(2, listener:getsockname())))
io.stdout:flush()

green.serve(listener, function(conn)
  conn:setoption("tcp-nodelay", true)
  local data = conn:recv(65536)
  while data and conn:send(data) do data = conn:recv(65536) end
end, 10000)
