-- What LuaSocket does: connecting, listening, options and select.
-- SPDX-License-Identifier: MIT

local rows, row = require "spec.net.luasocket.rows" ()

------------------------------------------------- connect, bind, listen --

row("an unknown name", function(s) return s.tcp():connect("a..b", 80) end,
  'nil, "host or service not provided, or not known"')
row("an empty name", function(s) return s.tcp():connect("", 80) end,
  'nil, "host or service not provided, or not known"')
row("an unknown service", function(s)
  return s.tcp():connect("127.0.0.1", "no-such-service")
end, 'nil, "service not supported for socket type"')
row("port -1", function(s) return s.tcp():connect("127.0.0.1", -1) end,
  'nil, "service not supported for socket type"')
row("port 80.0", function(s) return s.tcp():connect("127.0.0.1", 80.0) end,
  'nil, "service not supported for socket type"')
row("no port raises", function(s) return s.tcp():connect("127.0.0.1") end,
  [[raises "bad argument #2 to 'connect' (string expected, got no value)"]])
row("tcp4 to ::1", function(s) return s.tcp4():connect("::1", 80) end,
  'nil, "Address family for hostname not supported"')
row("tcp6 to 127.0.0.1", function(s, t)
  local c = s.tcp6()
  if not c then return t.skip() end
  return c:connect("127.0.0.1", 80)
end, 'nil, "Address family for hostname not supported"')
row("an address in use", function(s, t)
  return s.tcp():bind("127.0.0.1", t.port())
end, 'nil, "address already in use"')
row("an address of others", function(s)
  return s.tcp():bind("192.0.2.1", 0)
end, 'nil, "Cannot assign requested address"')
row("socket.bind: an address of others", function(s)
  return s.bind("192.0.2.1", 0)
end, 'nil, "Cannot assign requested address"')
row("socket.bind makes a server with reuseaddr", function(s)
  local m = s.bind("127.0.0.1", 0)
  return m, m:getoption "reuseaddr", m:getoption "reuseport"
end, "tcp{server}, true, false")
row('socket.bind "*" is 0.0.0.0', function(s)
  return (s.bind("*", 0):getsockname())
end, '"0.0.0.0"')
row("socket.connect makes a client", function(s, t)
  return s.connect("127.0.0.1", t.port())
end, "tcp{client}")
row("socket.connect is refused", function(s, t)
  return s.connect("127.0.0.1", t.no_port())
end, 'nil, "connection refused"')
row("socket.connect from an address", function(s, t)
  return (s.connect("127.0.0.1", t.port(), "127.0.0.1"):getsockname())
end, '"127.0.0.1"')
row("socket.connect: an unknown family raises", function(s, t)
  return s.connect("127.0.0.1", t.port(), nil, nil, "x")
end, [[raises "bad argument #5 to 'connect' (invalid option 'x')"]])
row("connect6 restricts the local address only", function(s, t)
  return s.connect6("127.0.0.1", t.port())
end, "tcp{client}")
row("connect by localhost", function(s, t)
  return s.connect("localhost", t.port())
end, "tcp{client}")
row("a port as text", function(s, t)
  return s.connect("127.0.0.1", tostring(t.port()))
end, "tcp{client}")
row("a service's name", function(s)
  local m = s.tcp()
  return (m:bind("127.0.0.1", "no-such-service"))
end, "nil")
row("getpeername", function(s, t)
  local c = t.pair(s)
  local host, port, family = c:getpeername()
  return host, math.type(port), port == t.port(), family
end, '"127.0.0.1", "integer", true, "inet"')
row("getsockname, unbound", function(s)
  local host, port, family = s.tcp4():getsockname()
  return host, tonumber(port), family
end, '"0.0.0.0", 0, "inet"')
row("getpeername, not connected", function(s)
  return s.tcp4():getpeername()
end, 'nil, "Transport endpoint is not connected"')
row("getpeername of a server", function(s)
  return s.bind("127.0.0.1", 0):getpeername()
end, 'nil, "Transport endpoint is not connected"')
row("tcp connects again after a failure", function(s, t)
  local c = s.tcp()
  local _, err = c:connect("127.0.0.1", t.no_port())
  return err, c:connect("127.0.0.1", t.port())
end, '"connection refused", 1')
row("a client that is connected says so", function(s, t)
  local c = s.connect("127.0.0.1", t.port())
  c:connect("127.0.0.1", t.port())
  local _, err = c:connect("127.0.0.1", t.port())
  return err
end, '"already connected"')
row("connecting without waiting", function(s, t)
  local c = s.tcp()
  c:settimeout(0)
  local _, err = c:connect("127.0.0.1", t.port())
  local _, w = s.select(nil, {c}, 5)
  local error = c:getoption "error"
  local again = c:connect("127.0.0.1", t.port())
  local _, third = c:connect("127.0.0.1", t.port())
  return err, #w, error, again, third, c:getfd() > 0
end, '"timeout", 1, nil, 1, "already connected", true')
row("connecting without waiting, refused", function(s, t)
  local c = s.tcp()
  c:settimeout(0)
  local _, err = c:connect("127.0.0.1", t.no_port())
  local r, w = s.select({c}, {c}, 5)
  return err, #r, #w, c:getoption "error", c:getoption "error"
end, '"timeout", 1, 1, "connection refused", nil')
row("refused meanwhile, asked by connect", function(s, t)
  local c, port = s.tcp(), t.no_port()
  c:settimeout(0)
  c:connect("127.0.0.1", port)
  s.select(nil, {c}, 5)
  return c:connect("127.0.0.1", port)
end, 'nil, "connection refused"')
row("refused meanwhile, asked by receive", function(s, t)
  local c, port = s.tcp(), t.no_port()
  c:settimeout(0)
  c:connect("127.0.0.1", port)
  s.select(nil, {c}, 5)
  return c:receive()
end, 'nil, "connection refused", ""')

--------------------------------------------------------------- options --

for _, name in ipairs {"keepalive", "reuseaddr", "reuseport",
                       "tcp-nodelay"} do
  row("option " .. name, function(s)
    local c = s.tcp4()
    return c:setoption(name, true), c:getoption(name)
  end, "1, true")
end
for _, name in ipairs {"tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl"} do
  row("option " .. name, function(s)
    local c = s.tcp4()
    return c:setoption(name, 9), c:getoption(name), c:setoption(name, "8.7"),
      c:getoption(name)
  end, "1, 9, 1, 8")
end
row("option linger", function(s)
  local c = s.tcp4()
  return c:setoption("linger", {on = true, timeout = 3}),
    c:getoption "linger"
end, "1, {on = true, timeout = 3}")
row("option linger without a field", function(s)
  return s.tcp4():setoption("linger", {timeout = 3})
end, [[raises "bad argument #2 to 'setoption' (boolean 'on' field expected)"]])
row("option ipv6-v6only", function(s, t)
  local c = s.tcp6()
  if not c then return t.skip() end
  return c:setoption("ipv6-v6only", true)
end, "1")
row("option recv-buffer-size", function(s)
  local c = s.tcp4()
  return c:setoption("recv-buffer-size", 8192),
    c:getoption "recv-buffer-size" >= 8192
end, "1, true")
row("option error", function(s) return s.tcp4():getoption "error" end, "nil")
row("a boolean is a boolean", function(s)
  return s.tcp4():setoption("keepalive", 1)
end, [[raises "bad argument #2 to 'setoption' (boolean expected, got number)"]])
row("what is no number is 0", function(s)
  return s.tcp4():setoption("tcp-keepcnt", "x")
end, 'nil, "setsockopt failed"')
for _, case in ipairs {{"setoption", "x"}, {"getoption", "x"},
                       {"setoption", "KEEPALIVE"}, {"setoption", "error"},
                       {"getoption", "ipv6-v6only"},
                       {"getoption", "tcp-fastopen"}} do
  row(("%s %q raises"):format(case[1], case[2]), function(s)
    local c = s.tcp4()
    return c[case[1]](c, case[2], true)
  end, ([[raises "bad argument #2 to '?' (unsupported option `%s')"]])
    :format(case[2]))
end

---------------------------------------------------------------- select --

row("select of nothing is a sleep", function(s)
  return s.select({}, nil, 0.01)
end, '{}, {}, "timeout"')
row("select tells readers and writers", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  local r, w, err = s.select({c}, {c}, 1)
  return #r, r[1] == c, r[c], #w, w[1] == c, w[c], err
end, "1, true, 1, 1, true, 1, nil")
row("select has two results, or three", function(s, t)
  local c = t.pair(s)
  return select("#", s.select({c}, {c}, 1)), select("#", s.select({c}, {}, 0))
end, "2, 3")
row("select passes over what has no descriptor", function(s)
  local none = {getfd = function() return nil end}
  local text = {getfd = function() return "x" end}
  return s.select({s.tcp(), none, text, {}, "text"}, nil, 0.01)
end, '{}, {}, "timeout"')
row("select takes anything with getfd", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  local o = {getfd = function() return tostring(c:getfd()) end}
  local r = s.select({o}, nil, 1)
  return #r, r[1] == o, r[o]
end, "1, true, 1")
row("select takes methods of a metatable", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  local o = setmetatable({}, {__index = {
    getfd = function() return c:getfd() end,
    dirty = function() return false end}})
  return #s.select({o}, nil, 1)
end, "1")
row("select: what is dirty is ready", function(s, t)
  local c = t.pair(s)
  local o = {getfd = function() return c:getfd() end,
             dirty = function() return true end}
  local r, w = s.select({c, o}, nil, 5)
  return #r, r[1] == o, r[o], #w
end, "1, true, 1, 0")
row("select: a writer is never dirty", function(s)
  local m = s.bind("127.0.0.1", 0)
  local o = {getfd = function() return m:getfd() end,
             dirty = function() return true end}
  local _, w, err = s.select(nil, {o}, 0)
  return #w, err
end, '0, "timeout"')
row("select refuses numbers", function(s)
  return (select(2, pcall(s.select, {1}, nil, 0))):find "index a number" ~= nil
end, "true")
row("select refuses what is no table", function(s)
  return s.select(1, nil, 0)
end, [[raises "bad argument #1 to 'select' (table expected, got number)"]])
row("select refuses what is no time", function(s)
  return s.select({}, nil, "x")
end, [[raises "bad argument #3 to 'select' (number expected, got string)"]])
row("select passes errors of getfd", function(s)
  local o = {getfd = function() error("mine", 0) end}
  return s.select({o}, nil, 0)
end, 'raises "mine"')
row("select reads up to the first nil", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  return #s.select({s.tcp(), nil, c}, nil, 0)
end, "0")
row("select: one socket twice", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  return #s.select({c, c}, nil, 1)
end, "1")
row("select: two objects of one descriptor, the later", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  local o = {getfd = function() return c:getfd() end}
  local r = s.select({c, o}, nil, 1)
  return #r, r[1] == o
end, "1, true")
row("select: a listener", function(s)
  local m = s.bind("127.0.0.1", 0)
  local c = s.connect("127.0.0.1", (select(2, m:getsockname())))
  return #s.select({m}, nil, 5), c
end, "1, tcp{client}")
row("select: an end", function(s, t)
  local c, p = t.pair(s)
  p:close()
  return #s.select({c}, nil, 5)
end, "1")

return rows
