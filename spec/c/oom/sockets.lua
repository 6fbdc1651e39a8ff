-- Sockets: for lua_oom_test.c.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
green.on_error(function() end)
green.config {grace = 0.02}

local listener <close> = assert(green.listen("127.0.0.1", 0))
local server = green.spawn(green.serve, listener, function(conn)
  for line in conn:lines() do assert(conn:send(line .. "\n")) end
end, 2)
local host, port = listener:getsockname()
local conn <close> = assert(green.connect(host, port))
conn:settimeout(0.3) -- the server may have run out of memory
assert(conn:send("one\ntwo\n"))
assert(conn:receive() == "one")
assert(green.select({green.event(), conn}, 0.3) == 2)
assert(conn:receive("*l", "got ") == "got two")
local text = ("x"):rep(5000)
assert(conn:send(text .. "\n"))
assert(conn:receive("*l") == text)
conn:settimeout(0)
assert(select(2, conn:receive()) == "timeout")
conn:settimeout(0.3)
local socket = green.socket
assert(#socket.select({conn, listener}, nil, 0.001) == 0)
local asker = green.spawn(socket.select, {conn, listener}, {listener}, 1)
green.sleep(0)
asker:kill()
asker:join()
assert(socket.protect(function() socket.try(nil, "why") end)() == nil)
local reader = green.spawn(conn.receive, conn)
green.sleep(0)
reader:kill()
reader:join()
assert(green.connect("127.0.0.1", 1) == nil) -- nobody listens there
conn:shutdown("send")
assert(select(2, conn:receive()) == "closed")
server:kill()
server:join()
return "done"
