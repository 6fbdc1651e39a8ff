-- tls.lua - an echo server with TLS; prints its port and serves until it is
-- killed. Its certificate and key are those that $TLS_CERT and $TLS_KEY name.
-- SPDX-License-Identifier: MIT
local green = require "green"

collectgarbage "incremental"

local listener = assert(green.listen("127.0.0.1", 0, {backlog = 1024, tls = {
  certificate = os.getenv "TLS_CERT", key = os.getenv "TLS_KEY",
}}))
print((select(2, listener:getsockname())))
io.stdout:flush()

green.serve(listener, function(conn)
  conn:setoption("tcp-nodelay", true)
  local data = conn:recv(65536)
  while data and conn:send(data) do data = conn:recv(65536) end
end, 10000)
