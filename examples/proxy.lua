-- proxy.lua - passes TCP connections on to another server.
--
--   luagreen examples/proxy.lua [HOST:]PORT TARGET[:PORT] [SECONDS [CERT KEY]]
--
-- With a certificate and its key (PEM files) clients talk TLS, which ends here.
-- Either side may be "unix:/path". Each direction is a copy, in C, in a green
-- thread of its own. When one side has sent everything, the proxy tells the
-- other, which may go on sending: half a connection is a connection. If one
-- breaks, the proxy resets both; it also does when nothing has moved either way
-- for SECONDS.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

--- Host and port of "host:port", "[::1]:port", ":port", "port", "unix:/path".
local function address(text)
  if text:find "^unix:" then return text end
  local host, port = text:match "^%[?(.-)%]?:(%w+)$"
  if not host then host, port = "", text end
  return host ~= "" and host or "*", port
end

--- Bytes received so far, both ways.
local function traffic(a, b)
  return (a:getstats()) + (b:getstats())
end

--- Moves all of one direction, then passes the end on. A direction may be
--- silent for as long as the other is not.
local function pass(from, to)
  local moved, err, before
  repeat
    before = traffic(from, to)
    moved, err = from:copy(to)
  until moved or err ~= "timeout" or traffic(from, to) == before
  if not moved then return nil, err end
  to:shutdown "send"
  return true
end

--- A close that the peer sees as a break, not as an end.
local function reset(sock)
  sock:setoption("linger", {on = true, timeout = 0})
  sock:close()
end

local function relay(client, server)
  local function one_way(from, to)
    local ok, err = pass(from, to)
    if ok then return end
    reset(client) -- ends the other direction, too
    reset(server)
    if err ~= "closed" then print("broken: " .. err) end
  end
  local back = green.spawn(one_way, server, client)
  one_way(client, server)
  back:join()
end

--- A listener; its connections speak TLS if there is a certificate.
local function open(listen, certificate, key)
  local host, port = address(listen)
  local tls = certificate and assert(green.tls.context {mode = "server",
    certificate = certificate, key = key})
  return assert(green.listen(host, port, {tls = tls}))
end

local function main(listen, target, idle, certificate, key)
  if not target then
    error("usage: proxy.lua [HOST:]PORT TARGET[:PORT] [SECONDS [CERT KEY]]", 0)
  end
  local host, port = address(target)
  if host == "*" then host = "127.0.0.1" end
  local listener = open(listen, certificate, key)
  local name, number = listener:getsockname()
  print("proxy on " .. (number and "port " .. number or name))
  io.stdout:flush()

  green.serve(listener, function(client)
    local server <close>, err = green.connect(host, port, {timeout = 10})
    if not server then
      reset(client)
      return print("no server: " .. err)
    end
    if number then client:setoption("tcp-nodelay", true) end
    client:settimeout(tonumber(idle))
    server:settimeout(tonumber(idle))
    relay(client, server)
  end)
end

main(...)
