-- What LuaSocket does: datagrams, the Unix family, and names.
-- SPDX-License-Identifier: MIT

local rows, row = require "spec.net.luasocket.rows" ()

------------------------------------------------------------- datagrams --

row("udp is unconnected", function(s) return s.udp() end, "udp{unconnected}")
row("udp has no descriptor yet", function(s) return s.udp():getfd() end, "-1")
row("udp4 has a descriptor", function(s) return s.udp4():getfd() > 0 end,
  "true")
row("a metatable of datagrams has its groups", function(s)
  local mt = getmetatable(s.udp())
  return mt["udp{any}"], mt["select{able}"]
end, "true, true")
row("setpeername connects", function(s, t)
  local u = s.udp()
  return u:setpeername("127.0.0.1", t.port()), u, u:setpeername "*", u
end, "1, udp{unconnected}, 1, udp{unconnected}")
row("an unconnected one has no send", function(s) return s.udp():send "x" end,
  [[raises "calling 'send' on bad self (udp{connected} expected)"]])
row("an unconnected one has no peer", function(s)
  return s.udp():getpeername()
end, [[raises "calling 'getpeername' on bad self (udp{connected} expected)"]])
row("a connected one has no sendto", function(s, t)
  local u = s.udp()
  u:setpeername("127.0.0.1", t.port())
  return u:sendto("x", "127.0.0.1", t.port())
end, [[raises "calling 'sendto' on bad self (udp{unconnected} expected)"]])
row("a connected one has no receivefrom", function(s, t)
  local u = s.udp()
  u:setpeername("127.0.0.1", t.port())
  return u:receivefrom()
end, [[raises "calling 'receivefrom' on bad self (udp{unconnected} expected)"]])

--- Two sockets of the library's; the second is bound, to the port returned.
local function datagrams(s)
  local near, far = s.udp(), s.udp()
  far:setsockname("127.0.0.1", 0)
  far:settimeout(5)
  return near, far, tonumber((select(2, far:getsockname())))
end

row("sendto and receivefrom", function(s)
  local near, far, port = datagrams(s)
  local sent = near:sendto("hello", "127.0.0.1", port)
  local data, ip, number = far:receivefrom()
  return sent, data, ip, math.type(number)
end, '5, "hello", "127.0.0.1", "integer"')
row("send and receive", function(s)
  local near, far, port = datagrams(s)
  return near:setpeername("127.0.0.1", port), near:send "hello", far:receive()
end, '1, 5, "hello"')
row("an empty datagram", function(s)
  local near, far, port = datagrams(s)
  return near:sendto("", "127.0.0.1", port), far:receive()
end, '0, ""')
row("the rest of a longer one is lost", function(s)
  local near, far, port = datagrams(s)
  near:sendto("hello", "127.0.0.1", port)
  near:sendto("x", "127.0.0.1", port)
  return (far:receive(3)), (far:receive())
end, '"hel", "x"')
row("a limit ends receive", function(s)
  local _, far = datagrams(s)
  far:settimeout(0.02)
  return far:receive()
end, 'nil, "timeout"')
row("a limit ends receivefrom", function(s)
  local _, far = datagrams(s)
  far:settimeout(0)
  return far:receivefrom()
end, 'nil, "timeout"')
row("sendto takes no names", function(s)
  return s.udp():sendto("x", "localhost", 9)
end, 'nil, "Name or service not known"')
row("sendto of another family", function(s)
  return s.udp4():sendto("x", "::1", 9)
end, 'nil, "Address family for hostname not supported"')
row("sendto of too much", function(s)
  return s.udp():sendto(("x"):rep(65508), "127.0.0.1", 9)
end, 'nil, "Message too long"')
row("setpeername looks names up", function(s, t)
  return s.udp():setpeername("localhost", t.port())
end, "1")
row("setsockname", function(s)
  return s.udp():setsockname("*", 0)
end, "1")
row("nobody there: told once", function(s, t)
  local u = s.udp()
  u:setpeername("127.0.0.1", t.no_port())
  u:send "x"
  u:settimeout(5)
  return u:receive()
end, 'nil, "connection refused"')
row("getsockname of a datagram socket", function(s)
  local _, far, port = datagrams(s)
  local host, number, family = far:getsockname()
  return host, tonumber(number) == port, family
end, '"127.0.0.1", true, "inet"')
row("select of a datagram socket", function(s)
  local near, far, port = datagrams(s)
  near:sendto("x", "127.0.0.1", port)
  return #s.select({far}, nil, 5), far:dirty()
end, "1, false")
for _, case in ipairs {{"dontroute", true}, {"broadcast", true},
                       {"reuseaddr", true}, {"ip-multicast-loop", false}} do
  row("option " .. case[1] .. " of datagrams", function(s)
    local u = s.udp4()
    return u:setoption(case[1], case[2]), u:getoption(case[1])
  end, "1, " .. tostring(case[2]))
end
row("option ip-multicast-if", function(s)
  local u = s.udp4()
  return u:setoption("ip-multicast-if", "127.0.0.1"),
    u:getoption "ip-multicast-if"
end, '1, "127.0.0.1"')
row("option ip-multicast-ttl", function(s)
  return s.udp4():setoption("ip-multicast-ttl", 3)
end, "1")
row("option ip-add-membership without a field", function(s)
  return pcall(s.udp4().setoption, s.udp4(), "ip-add-membership", {}) == false
end, "true")
row("option keepalive is none of datagrams", function(s)
  return s.udp4():setoption("keepalive", true)
end, "raises \"bad argument #1 to 'setoption' "
  .. "(unsupported option `keepalive')\"")
row("setoption of a datagram socket without a descriptor", function(s)
  return s.udp():setoption("broadcast", true)
end, 'nil, "setsockopt failed"')

------------------------------------------------------------------ Unix --

row("a Unix socket is a master", function(_, t) return t.unix() end,
  "unixstream{master}")
row("a Unix socket has a descriptor", function(_, t)
  return t.unix():getfd() > 0
end, "true")
row("unix: its table", function(_, t)
  return t.unix.stream == t.unix.tcp, t.unix.dgram == t.unix.udp
end, "true, true")
row("unix: bind, listen, connect, accept", function(_, t)
  local path = t.path()
  local server, client = t.unix(), t.unix.stream()
  local bound, listens = server:bind(path), server:listen()
  local connected = client:connect(path)
  local far = server:accept()
  far:send "hi\n"
  return bound, listens, server, connected, client, far, (client:receive())
end, "1, 1, unixstream{server}, 1, unixstream{client}, unixstream{client}, "
  .. '"hi"')
row("unix: nobody there", function(_, t)
  local c = t.unix()
  local r, err = c:connect(t.path())
  return r, err, c, c:getfd()
end, 'nil, "No such file or directory", unixstream{master}, -1')
row("unix: refused", function(_, t)
  local path = t.path()
  local server = t.unix()
  server:bind(path)
  return t.unix():connect(path)
end, 'nil, "connection refused"')
row("unix: in use", function(_, t)
  local path = t.path()
  t.unix():bind(path)
  return t.unix():bind(path)
end, 'nil, "address already in use"')
row("unix: listen unbound", function(_, t) return t.unix():listen() end,
  'nil, "Invalid argument"')
row("unix: path too long", function(_, t)
  return t.unix():bind(("x"):rep(108))
end, 'nil, "path too long"')
row("unix: a path is a string", function(_, t)
  return t.unix():bind {}
end, [[raises "bad argument #1 to 'bind' (string expected, got table)"]])
row("unix: a client connects no more", function(_, t)
  local path = t.path()
  local server, client = t.unix(), t.unix()
  server:bind(path)
  server:listen()
  client:connect(path)
  client:connect(path)
end, [[raises "calling 'connect' on bad self (unixstream{master} expected)"]])
row("unix: getsockname", function(_, t)
  local path = t.path()
  local server = t.unix()
  local before = server:getsockname()
  server:bind(path)
  return before, server:getsockname() == path
end, '"", true')
row("unix: options", function(_, t)
  return t.unix():setoption("keepalive", true), t.unix():setoption(
    "reuseaddr", true)
end, "1, 1")
row("unix: an option of TCP", function(_, t)
  return t.unix():setoption("tcp-nodelay", true)
end, "raises \"bad argument #1 to 'setoption' "
  .. "(unsupported option `tcp-nodelay')\"")
row("unix: datagrams", function(_, t)
  local path = t.path()
  local far, near = t.unix.dgram(), t.unix.dgram()
  far:bind(path)
  near:sendto("one", path)
  local connected = near:connect(path)
  near:send "two"
  local data, from = far:receivefrom()
  return far, connected, near, data, from, (far:receive())
end, 'unixdgram{unconnected}, 1, unixdgram{connected}, "one", "", "two"')

----------------------------------------------------------------- names --

row("getaddrinfo of an address", function(s)
  return s.dns.getaddrinfo "127.0.0.1"
end, '{{addr = "127.0.0.1", family = "inet"}}')
row("getaddrinfo of an address of IPv6", function(s)
  return s.dns.getaddrinfo "::1"
end, '{{addr = "::1", family = "inet6"}}')
row("getaddrinfo of an unknown name", function(s)
  return s.dns.getaddrinfo "a..b"
end, 'nil, "host or service not provided, or not known"')
row("toip of localhost", function(s)
  local ip, all = s.dns.toip "localhost"
  return ip, all.name, type(all.alias), all.ip[1]
end, '"127.0.0.1", "localhost", "table", "127.0.0.1"')
row("tohostname of localhost", function(s)
  local name, all = s.dns.tohostname "127.0.0.1"
  return name, all.name, all.ip
end, '"localhost", "localhost", {"127.0.0.1"}')
row("toip of an unknown name", function(s)
  return s.dns.toip "a..b"
end, 'nil, "host not found"')
row("getnameinfo of a service", function(s)
  return s.dns.getnameinfo(nil, "80")
end, '{}, "http"')
row("getnameinfo of an address", function(s)
  return s.dns.getnameinfo "127.0.0.1"
end, '{"localhost"}')
row("getnameinfo of nothing raises", function(s)
  return pcall(s.dns.getnameinfo) == false
end, "true")
row("gethostname", function(s) return type(s.dns.gethostname()) end,
  '"string"')

return rows
