-- Streams with TLS in the midst of everything: for lua_tls_close_test.c, which
-- closes the state then.
--
-- SPDX-License-Identifier: MIT

local folder, limit = ... -- limit: for what waits for an end without memory
local green = require "green"
local tls = require "green.tls"

local server = assert(tls.context {mode = "server", key = folder .. "/key.pem",
  certificate = folder .. "/cert.pem"})
local client = assert(tls.context {verify = "none"})
local text = ("x"):rep(1e5)

local kept = {} -- what nothing else refers to, until the state closes
local function keep(...)
  kept[#kept + 1] = {...}
  return ...
end
debug.getregistry()[kept] = true

local function pair()
  local near, far = keep(green.socketpair())
  near:settimeout(limit)
  far:settimeout(limit)
  local t = green.spawn(green.wrap_ssl, near, client)
  assert(green.wrap_ssl(far, server))
  assert(t:wait())
  near:settimeout()
  far:settimeout()
  return near, far
end

--- Blocked reads, the handlers of one of which send and read.
do
  local near, far = pair()
  green.spawn(near.receive, near)
  green.spawn(function()
    local _ <close> = setmetatable({}, {__close = function()
      far:settimeout(0.01)
      far:send(text)
      far:receive(1)
    end})
    far:receive()
  end)
end

--- Bytes in the buffers of both ends and of the system, and a read of them.
do
  local near, far = pair()
  near:settimeout(0)
  assert(near:send("some " .. text:sub(1, 1000)))
  assert(far:receive(5) == "some ")
  repeat until not near:send(text)
  green.spawn(far.receive, far, 1e7)
end

--- A blocked write, whose thread closes the connection.
do
  local near = pair()
  green.spawn(function()
    local conn <close> = near
    repeat until not conn:send(text)
  end)
end

--- Handshakes that wait for the peer: blocked, and given up.
do
  local near = keep(green.socketpair())
  green.spawn(green.wrap_ssl, near, client)
  local other, far = keep(green.socketpair())
  green.spawn(green.wrap_ssl, other, client)
  far:settimeout(0)
  green.wrap_ssl(far, server)
end

--- A server with a connection of each kind.
do
  local listener = keep(assert(green.listen("127.0.0.1", 0, {tls = server})))
  green.spawn(green.serve, listener, function(conn) conn:receive() end)
  local host, port = listener:getsockname()
  keep(assert(green.connect(host, port)))
  keep(assert(green.connect(host, port, {tls = client, timeout = limit})))
  green.sleep(0)
end
