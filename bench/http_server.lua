-- http_server.lua - answers each request after a tenth of a second; prints its
-- port and serves until its standard input ends.
-- SPDX-License-Identifier: MIT
local green = require "green"

local listener = assert(green.listen("127.0.0.1", 0, {backlog = 4096}))
print((select(2, listener:getsockname())))
io.stdout:flush()

green.spawn_n(green.serve, listener, function(conn)
  for line in conn:lines() do
    if line == "" then break end
  end
  green.sleep(0.1)
  conn:send "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
end, 10000)
green.wait_fd(0, "r")
os.exit(true)
