-- line.lua - a server that echoes lines; prints its port and serves until it is
-- killed.
-- SPDX-License-Identifier: MIT
local green = require "green"

collectgarbage "incremental" -- as in echo.lua

local listener = assert(green.listen("127.0.0.1", 0, {backlog = 1024}))
print((select(2, listener:getsockname())))
io.stdout:flush()

green.serve(listener, function(conn)
  conn:setoption("tcp-nodelay", true)
  local line = conn:receive("*l")
  while line and conn:send(line .. "\n") do line = conn:receive("*l") end
end, 10000)
