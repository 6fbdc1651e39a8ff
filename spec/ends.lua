--- Connections, datagram sockets and listeners for the waits of specs.
---
--- SPDX-License-Identifier: MIT

local green = require "green"

local ends = {}

--- Both ends of a connection, and the listener that it came through.
function ends.connected()
  local o = {l = assert(green.listen("127.0.0.1", 0))}
  local _, port = o.l:getsockname()
  o.near = assert(green.connect("127.0.0.1", port))
  o.far = assert(o.l:accept())
  o.near:settimeout(0)
  return o
end

function ends.disconnect(o)
  o.near:close()
  o.far:close()
  o.l:close()
end

--- Both ends of a connection, with so much sent that there is no room for more.
--- By TCP the kernel would make some more, when it got round to delivering.
function ends.stuffed()
  local near, far = green.socketpair()
  local o = {near = near, far = far, l = {close = function() end}}
  local chunk = ("x"):rep(65536)
  near:settimeout(0)
  while near:send(chunk) do end
  return o
end

--- Makes room again.
function ends.drain(o)
  o.far:settimeout(0)
  while o.far:recv(65536) do end
end

--- Two sockets of datagrams, of which one is the other's peer.
function ends.datagrams()
  local o = {far = assert(green.udp("127.0.0.1", 0)), near = green.udp()}
  o.port = select(2, o.far:getsockname())
  assert(o.near:setpeername("127.0.0.1", o.port))
  o.near:settimeout(0)
  return o
end

function ends.drop(o)
  o.near:close()
  o.far:close()
end

--- A limit as settimeout takes it, for which less than 0 is none.
function ends.limited(sock, s)
  sock:settimeout(s and math.max(s, 0))
  return sock
end

--- A listener, and how to connect to it without switching.
function ends.listener()
  local o = {l = assert(green.listen("127.0.0.1", 0)), out = {}}
  o.port = select(2, o.l:getsockname())
  return o
end

function ends.knock(o)
  local sock = require "socket".tcp()
  sock:settimeout(0)
  sock:connect("127.0.0.1", o.port)
  o.out[#o.out + 1] = sock
end

function ends.shut(o)
  for _, sock in ipairs(o.out) do sock:close() end
  o.l:close()
end

function ends.taken(conn, err)
  if not conn then return nil, err end
  conn:close()
  return true
end

--- The next value of an iterator, which raises what a call returns.
function ends.iterated(next)
  local ok, value = pcall(next)
  if ok then return value end
  local text = type(value) == "string" and value:match "timeout$"
  if not text then error(value, 0) end
  return nil, text
end

return ends
