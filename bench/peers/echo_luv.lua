-- echo_luv.lua - an echo server with callbacks; prints its port.
-- SPDX-License-Identifier: MIT
local uv = require "luv"

local server = uv.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(1024, function(failure)
  assert(not failure, failure)
  local conn = uv.new_tcp()
  server:accept(conn)
  conn:nodelay(true)
  conn:read_start(function(_, data)
    if data then conn:write(data) else conn:close() end
  end)
end)
print(server:getsockname().port)
io.stdout:flush()
uv.run()
