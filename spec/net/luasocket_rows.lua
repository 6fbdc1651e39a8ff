-- What LuaSocket does, a row each: {name, function, what it returns}. The
-- function gets the table of the library and helpers of luasocket_spec.lua;
-- its results are written as that spec's show() has them.
-- SPDX-License-Identifier: MIT

local rows = {}
local function row(name, f, expected)
  rows[#rows + 1] = {name = name, f = f, expected = expected}
end

--------------------------------------------------------------- objects --

row("tcp is a master", function(s) return s.tcp() end, "tcp{master}")
row("tcp4 is a master", function(s) return s.tcp4() end, "tcp{master}")
row("a class has a name", function(s) return s.tcp().class end,
  '"tcp{master}"')
row("tostring ends with the address", function(s)
  return tostring(s.tcp()):gsub("0x%x+", "ADDRESS")
end, '"tcp{master}: ADDRESS", 1')
row("an unknown field is nil", function(s) return s.tcp()[1] end, "nil")
row("a TCP socket has no sendto", function(s) return s.tcp().sendto end, "nil")
row("__index is a table", function(s)
  return type(getmetatable(s.tcp()).__index)
end, '"table"')
row("__index has the class", function(s)
  return getmetatable(s.tcp()).__index.class
end, '"tcp{master}"')
row("a metatable has its groups", function(s)
  return getmetatable(s.tcp())["tcp{any}"]
end, "true")
row("each class has a table of methods of its own", function(s, t)
  local c = t.pair(s)
  return getmetatable(s.tcp()).__index == getmetatable(c).__index
end, "false")
row("connect makes a client", function(s, t)
  local c = s.tcp()
  return c:connect("127.0.0.1", t.port()), c
end, "1, tcp{client}")
row("setpeername makes a client", function(s, t)
  local c = s.tcp()
  return c:setpeername("127.0.0.1", t.port()), c
end, "1, tcp{client}")
row("a connect that is refused makes one, too", function(s, t)
  local c = s.tcp()
  local r, err = c:connect("127.0.0.1", t.no_port())
  return r, err, c
end, 'nil, "connection refused", tcp{client}')
row("listen makes a server", function(s)
  local m = s.tcp()
  return m:bind("127.0.0.1", 0), m:listen(), m
end, "1, 1, tcp{server}")
row("bind leaves a master", function(s)
  local m = s.tcp()
  return m:setsockname("127.0.0.1", 0), m
end, "1, tcp{master}")
row("connect on a server fails, and makes a client", function(s, t)
  local m = s.bind("127.0.0.1", 0)
  local r = m:connect("127.0.0.1", t.port())
  return r, m
end, "nil, tcp{client}")
row("tcp has no descriptor yet", function(s) return s.tcp():getfd() end, "-1")
row("tcp has a family all the same", function(s)
  return s.tcp():getfamily()
end, '"inet4"')
row("tcp4 has a descriptor", function(s) return s.tcp4():getfd() > 0 end,
  "true")
row("setoption without a descriptor fails", function(s)
  return s.tcp():setoption("keepalive", true)
end, 'nil, "setsockopt failed"')
row("getoption without a descriptor fails", function(s)
  return s.tcp():getoption("keepalive")
end, 'nil, "getsockopt failed"')
row("bind twice fails", function(s)
  local m = s.tcp()
  m:bind("127.0.0.1", 0)
  return m:bind("127.0.0.1", 0)
end, 'nil, "Invalid argument"')
row("listen without a descriptor fails", function(s)
  return s.tcp():listen()
end, 'nil, "Bad file descriptor"')
row("tcp4 listens unbound", function(s) return s.tcp4():listen() end, "1")

-- wrong classes

for _, method in ipairs {"send", "receive", "shutdown", "getstats",
                         "setstats"} do
  row("a master has no " .. method, function(s)
    local m = s.tcp()
    return m[method](m, "x")
  end, [[raises "bad argument #1 to '?' (tcp{client} expected)"]])
end
row("a master has no accept", function(s)
  return s.tcp():accept()
end, [[raises "calling 'accept' on bad self (tcp{server} expected)"]])
row("a client has no accept", function(s, t)
  local c = t.pair(s)
  return c:accept()
end, [[raises "calling 'accept' on bad self (tcp{server} expected)"]])
row("a client has no bind", function(s, t)
  local c = t.pair(s)
  return c:bind("*", 0)
end, [[raises "calling 'bind' on bad self (tcp{master} expected)"]])
row("a client has no listen", function(s, t)
  local c = t.pair(s)
  return c:listen()
end, [[raises "calling 'listen' on bad self (tcp{master} expected)"]])
row("a server has no receive", function(s)
  return s.bind("127.0.0.1", 0):receive()
end, [[raises "calling 'receive' on bad self (tcp{client} expected)"]])
row("a method without self raises", function(s)
  local settimeout = s.tcp().settimeout
  return settimeout()
end, [[raises "bad argument #1 to 'settimeout' (tcp{any} expected)"]])

-- closing

row("close gives 1, as often as called", function(s, t)
  local c = t.pair(s)
  return c:close(), c:close()
end, "1, 1")

local function closed(s, t)
  local c = t.pair(s)
  c:close()
  return c
end

for _, case in ipairs {
  {"getfd", "-1"}, {"dirty", "false"}, {"settimeout", "1", 1},
  {"shutdown", "1"},
  {"receive", 'nil, "closed", ""'}, {"receive", 'nil, "closed", ""', 0},
  {"receive", 'nil, "closed", ""', 5},
  {"receive", 'nil, "closed", ""', "*a"},
  {"receive", 'nil, "closed", "left"', "*a", "left"},
  {"receive", '"abc", nil, nil', 2, "abc"},
  {"send", 'nil, "closed", 0', "x"}, {"send", "0, nil, nil", ""},
  {"send", 'nil, "closed", 1', "hello", 2},
  {"send", "2, nil, nil", "hello", 3, 2},
  {"getsockname", 'nil, "Bad file descriptor"'},
  {"getpeername", 'nil, "Bad file descriptor"'},
  {"setoption", 'nil, "setsockopt failed"', "keepalive", true},
  {"getoption", 'nil, "getsockopt failed"', "error"},
} do
  local method, expected = case[1], case[2]
  row(("after close: %s(%s)"):format(method,
    table.concat({tostring(case[3] or ""), tostring(case[4])}, ", ")),
    function(s, t)
      local c = closed(s, t)
      return c[method](c, table.unpack(case, 3))
    end, expected)
end
row("after close: accept", function(s)
  local m = s.bind("127.0.0.1", 0)
  m:close()
  return m:accept()
end, 'nil, "closed"')
row("after close: connect works", function(s, t)
  local c = closed(s, t)
  return c:connect("127.0.0.1", t.port()), c:getfd() > 0
end, "1, true")
row("after close: bind of a master works", function(s)
  local m = s.tcp()
  m:bind("127.0.0.1", 0)
  m:close()
  return m:bind("127.0.0.1", 0), m:getfd() > 0
end, "1, true")
row("after close: getstats has the numbers so far", function(s, t)
  local c = t.pair(s)
  c:send "12345"
  c:close()
  return select(2, c:getstats()) == 5
end, "true")

row("setfd returns nothing", function(s, t)
  local c = t.pair(s)
  local fd = c:getfd()
  local n = select("#", c:setfd(-1))
  local without = c:getfd()
  c:setfd(fd)
  return n, without, c:getfd() == fd
end, "0, -1, true")
row("setfd takes a number", function(s) return s.tcp4():setfd("x") end,
  [[raises "bad argument #1 to 'setfd' (number expected, got string)"]])
row("a detached object closes nothing", function(s, t)
  local c, p = t.pair(s)
  local fd = c:getfd()
  c:setfd(-1)
  local closes = c:close()
  c:setfd(fd)
  p:send "x\n"
  return closes, (c:receive())
end, '1, "x"')
row("dirty after a line of two", function(s, t)
  local c, p = t.pair(s)
  p:send "one\ntwo\n"
  local before = c:dirty()
  c:receive()
  local between = c:dirty()
  c:receive()
  return before, between, c:dirty()
end, "false, true, false")
row("dirty after receive(0)", function(s, t)
  local c, p = t.pair(s)
  p:send "x"
  t.arrived(c)
  return (c:receive(0)), c:dirty()
end, '"", true')
row("a server is never dirty", function(s)
  return s.bind("127.0.0.1", 0):dirty()
end, "false")
row("getstats counts what was taken", function(s, t)
  local c, p = t.pair(s)
  p:send "one\ntwo\n"
  c:receive()
  c:send "123"
  local received, sent, age = c:getstats()
  return received, sent, type(age)
end, '4, 3, "number"')
row("setstats sets", function(s, t)
  local c = t.pair(s)
  local set = c:setstats(10, 20)
  local received, sent = c:getstats()
  return set, received, sent
end, "1, 10, 20")

--------------------------------------------------------------- receive --

local function receives(text, ...)
  local arguments = table.pack(...)
  return function(s, t)
    local c, p = t.pair(s)
    p:send(text)
    p:close()
    return c:receive(table.unpack(arguments, 1, arguments.n))
  end
end

row("receive()", receives "one\ntwo\n", '"one", nil, nil')
row("receive(nil)", receives("one\ntwo\n", nil), '"one", nil, nil')
row('receive "*l"', receives("one\ntwo\n", "*l"), '"one", nil, nil')
row('receive "*line"', receives("one\ntwo\n", "*line"), '"one", nil, nil')
row('receive "*lfoo"', receives("one\ntwo\n", "*lfoo"), '"one", nil, nil')
row('receive "*a"', receives("one\ntwo", "*a"), '"one\\\ntwo", nil, nil')
row('receive "*all"', receives("one", "*all"), '"one", nil, nil')
row("receive(3)", receives("abcdef", 3), '"abc", nil, nil')
row("receive(2.7)", receives("abcdef", 2.7), '"ab", nil, nil')
row('receive "4"', receives("abcdef", "4"), '"abcd", nil, nil')
row('receive "0x2"', receives("abcdef", "0x2"), '"ab", nil, nil')
row('receive "2.9"', receives("abcdef", "2.9"), '"ab", nil, nil')
for _, pattern in ipairs {"l", "a", "*n", "*x", "", "*", "line", -1, "-1"} do
  row(("receive(%q) raises"):format(pattern), receives("abc\n", pattern),
    [[raises "bad argument #1 to 'receive' (invalid receive pattern)"]])
end
row("receive({}) raises", receives("abc\n", {}),
  [[raises "bad argument #1 to 'receive' (string expected, got table)"]])
row("receive(true) raises", receives("abc\n", true),
  [[raises "bad argument #1 to 'receive' (string expected, got boolean)"]])
row("a line's \\r are dropped, all of them", receives "a\rb\r\r\n",
  '"ab", nil, nil')
row("zero bytes are kept", receives "a\0b\n", '"a\\0b", nil, nil')
row("an empty line", receives "\n", '"", nil, nil')
row("a line that the end cuts", receives "a\rb", 'nil, "closed", "ab"')
row("a count that the end cuts", receives("abc", 5), 'nil, "closed", "abc"')
row("all of nothing", receives("", "*a"), 'nil, "closed", ""')
row("nothing at the end", receives("", 0), 'nil, "closed", ""')
row("a prefix counts", receives("456789", 6, "123"), '"123456", nil, nil')
row("a prefix that is a number", receives("34\n", "*l", 12),
  '"1234", nil, nil')
row("a prefix that is enough", receives("xyz", 2, "abc"), '"abc", nil, nil')
row("a prefix and 0", receives("xyz", 0, "zz"), '"zz", nil, nil')
row("no prefix", receives("xyz\n", "*l", ""), '"xyz", nil, nil')
row("a prefix keeps its \\r", receives("b\r\n", "*l", "a\r"),
  '"a\\13b", nil, nil')
row("a prefix of all", receives("b", "*a", "a"), '"ab", nil, nil')
row("a prefix of a line that is cut", receives("b", "*l", "a"),
  'nil, "closed", "ab"')
row("a prefix that is a table raises", receives("b\n", "*l", {}),
  [[raises "bad argument #2 to 'receive' (string expected, got table)"]])
row("a partial result is consumed", function(s, t)
  local c, p = t.pair(s)
  c:settimeout(0.05)
  p:send "abc"
  local _, err, partial = c:receive(5)
  p:send "def\n"
  return err, partial, (c:receive())
end, '"timeout", "abc", "def"')
row("a limit of 0 polls", function(s, t)
  local c = t.pair(s)
  c:settimeout(0)
  return c:receive()
end, 'nil, "timeout", ""')
row("a limit of 0 takes what is there", function(s, t)
  local c, p = t.pair(s)
  p:send "ab"
  t.arrived(c)
  c:settimeout(0)
  return c:receive(5)
end, 'nil, "timeout", "ab"')
row("a limit of 0, and a prefix", function(s, t)
  local c = t.pair(s)
  c:settimeout(0)
  return c:receive(3, "ab")
end, 'nil, "timeout", "ab"')
row("receive(0) of nothing yet", function(s, t)
  local c = t.pair(s)
  c:settimeout(0)
  return c:receive(0)
end, 'nil, "timeout", ""')
row("a limit ends all with the partial result", function(s, t)
  local c, p = t.pair(s)
  p:send "abc"
  c:settimeout(0.05)
  return c:receive "*a"
end, 'nil, "timeout", "abc"')
row("a reset is an end", function(s, t)
  local c, p = t.pair(s)
  c:send "unread"
  t.arrived(p)
  p:close()
  t.arrived(c)
  return c:receive()
end, 'nil, "closed", ""')

------------------------------------------------------------------ send --

local function sends(...)
  local arguments = table.pack(...)
  return function(s, t)
    local c = t.pair(s)
    return c:send(table.unpack(arguments, 1, arguments.n))
  end
end

for _, case in ipairs {
  {"5", 2}, {"3", 2, 3}, {"5", -2}, {"4", 2, -2}, {"5", 6}, {"3", 4, 2},
  {"5", 0}, {"5", -10}, {"5", 1, 100}, {"3", "2", "3"}, {"3", 2.5, 3.9},
} do
  row(('send("hello", %s, %s)'):format(tostring(case[2]), tostring(case[3])),
    sends("hello", case[2], case[3]), case[1] .. ", nil, nil")
end
row('send ""', sends "", "0, nil, nil")
row("send(12.5)", sends(12.5), "4, nil, nil")
row("send(nil) raises", sends(nil),
  [[raises "bad argument #1 to 'send' (string expected, got nil)"]])
row("send({}) raises", sends({}),
  [[raises "bad argument #1 to 'send' (string expected, got table)"]])
row("send() raises", sends(),
  [[raises "bad argument #1 to 'send' (string expected, got no value)"]])
row("what is sent arrives", function(s, t)
  local c, p = t.pair(s)
  c:send("hello", 2, 4)
  return p:recv(10)
end, '"ell"')
row("a send that the limit cuts goes on", function(s, t)
  local c, p = t.pair(s)
  local data = ("x"):rep(2 ^ 23)
  c:settimeout(0)
  local done, err, last = c:send(data)
  local n = #assert(p:receive(last))
  return done, err, last > 0 and last < #data, n == last
end, 'nil, "timeout", true, true')
row("shutdown", function(s, t) return t.pair(s):shutdown() end, "1")
row("shutdown of what is shut", function(s, t)
  local c = t.pair(s)
  c:shutdown()
  return c:shutdown "receive"
end, "1")
row("shutdown(write) raises", function(s, t)
  return t.pair(s):shutdown "write"
end, [[raises "bad argument #1 to 'shutdown' (invalid option 'write')"]])
row("shutdown(send) ends sending", function(s, t)
  local c, p = t.pair(s)
  c:shutdown "send"
  p:send "x\n"
  local _, err, last = c:send "x"
  return err, last, (c:receive())
end, '"closed", 0, "x"')

---------------------------------------------------------------- limits --

row("settimeout gives 1", function(s) return s.tcp():settimeout(1) end, "1")
row("settimeout takes numbers as text", function(s)
  local c = s.tcp()
  return c:settimeout("7"), c:gettimeout()
end, "1, 7, -1")
row("settimeout refuses text", function(s) return s.tcp():settimeout "x" end,
  [[raises "bad argument #1 to 'settimeout' (number expected, got string)"]])
row("settimeout refuses modes", function(s)
  return s.tcp():settimeout(1, "x")
end, [[raises "bad argument #2 to 'settimeout' (invalid timeout mode)"]])
row("gettimeout at first", function(s) return s.tcp():gettimeout() end,
  "-1, -1")
row("both limits are held", function(s)
  local c = s.tcp()
  c:settimeout(1, "total")
  c:settimeout(2, "block")
  c:settimeout(3, "r")
  return c:gettimeout()
end, "2, 3")
row("a limit below 0 stays as it was set", function(s)
  local c = s.tcp()
  c:settimeout(-3)
  return c:gettimeout()
end, "-3, -1")
row("an accepted connection begins without", function(s)
  local m = s.bind("127.0.0.1", 0)
  m:settimeout(5)
  local c = s.connect("127.0.0.1", (select(2, m:getsockname())))
  return m:accept():gettimeout(), c:gettimeout()
end, "-1, -1, -1")
row("accept obeys", function(s)
  local m = s.bind("127.0.0.1", 0)
  m:settimeout(0.02)
  return m:accept()
end, 'nil, "timeout"')
for _, mode in ipairs {"b", "t"} do
  row(("alone, %q counts from the beginning of the call"):format(mode),
    function(s, t)
      if t.is_real then return t.skip() end
      local c, p = t.pair(s)
      c:settimeout(0.1, mode)
      t.drip(p, "a", 0.06, 4)
      local _, err, partial = c:receive(5)
      return err, #partial < 4
    end, '"timeout", true')
end

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

---------------------------------------------------------------- module --

row("field _SETSIZE", function(s) return math.type(s._SETSIZE) end,
  '"integer"')
for _, name in ipairs {"BLOCKSIZE", "_SOCKETINVALID", "_VERSION"} do
  local expected = {BLOCKSIZE = "2048", _SOCKETINVALID = "-1",
                    _VERSION = '"LuaSocket 3.0.0"'}
  row("field " .. name, function(s) return s[name] end, expected[name])
end
row("__unload", function(s) return type(s.__unload) end, '"function"')
row("sleep returns nothing", function(s) return s.sleep(0.001) end, "")
row("sleep below 0", function(s) return s.sleep(-1) end, "")
row("sleep takes a number", function(s) return s.sleep {} end,
  [[raises "bad argument #1 to 'sleep' (number expected, got table)"]])
row("gettime is a clock", function(s)
  return math.abs(s.gettime() - os.time()) < 5
end, "true")
row("skip", function(s) return s.skip(1, "a", "b", "c") end, '"b", "c"')
row("skip of too many", function(s) return s.skip(9, "a") end, "")
row("choose", function(s)
  local f = s.choose {default = function(...) return "default", ... end,
                      x = function(...) return ... end}
  return f("x", 1, 2), f(1, 2), f(nil, 5)
end, '1, "default", "default", nil, 5')
row("choose of an unknown name", function(s)
  return s.choose {} "zz"
end, 'raises "unknown key (zz)"')
row("sink of an unknown name", function(s) return s.sink("zz", 1) end,
  'raises "unknown key (zz)"')
row("the sinks", function(s)
  return s.sinkt.default == s.sinkt["keep-open"],
    type(s.sinkt["close-when-done"])
end, 'true, "function"')
row("the sources", function(s)
  return s.sourcet.default == s.sourcet["until-closed"],
    type(s.sourcet["by-length"])
end, 'true, "function"')
row("a sink keeps open", function(s, t)
  local c, p = t.pair(s)
  local sink = s.sink("keep-open", c)
  return sink "abc", sink(nil), p:recv(9), c:getfd() > 0
end, '3, 1, "abc", true')
row("a sink closes", function(s, t)
  local c, p = t.pair(s)
  local sink = s.sink("close-when-done", c)
  return sink "abc", sink(nil), p:recv(9), c:getfd()
end, '3, 1, "abc", -1')
row("a source by length", function(s, t)
  local c, p = t.pair(s)
  p:send "abcdef"
  local source = s.source("by-length", c, 4)
  return source(), source(), source()
end, '"abcd", nil, nil')
row("a source until closed", function(s, t)
  local c, p = t.pair(s)
  p:send "abc"
  p:close()
  local source = s.source("until-closed", c)
  return source(), source(), c:getfd()
end, '"abc", nil, -1')
row("a source is something to select", function(s, t)
  local c, p = t.pair(s)
  p:send "abc"
  local source = s.source("until-closed", c)
  return #s.select({source}, nil, 5), source:dirty()
end, "1, false")
row("by-length reads BLOCKSIZE at once", function(s, t)
  local c, p = t.pair(s)
  p:send(("x"):rep(3000))
  return #s.source("by-length", c, 3000)()
end, "2048")

---------------------------------------------------------- exceptions --

row("try returns its arguments", function(s) return s.try(1, nil, 3) end,
  "1, nil, 3")
row("protect returns what the function does", function(s)
  return s.protect(function(...) return ... end)(1, nil, 3)
end, "1, nil, 3")
row("protect catches what try raises", function(s)
  return s.protect(function() s.try(nil, "why", 3) end)()
end, 'nil, "why"')
row("protect catches false, too", function(s)
  return s.protect(function() s.try(false, {1}) end)()
end, "nil, {1}")
row("protect passes other errors", function(s)
  return s.protect(function() error("mine", 0) end)()
end, 'raises "mine"')
row("protect passes the same value", function(s)
  local value = {}
  local ok, err = pcall(s.protect(function() error(value) end))
  return ok, err == value
end, "false, true")
row("what try raises hides its metatable", function(s)
  local ok, err = pcall(s.try, nil, "why")
  return ok, type(err), getmetatable(err), err[1]
end, 'false, "table", false, "why"')
row("what try raised counts when it is raised again", function(s)
  return s.protect(function()
    local _, err = pcall(s.try, nil, "why")
    error(err)
  end)()
end, 'nil, "why"')
row("newtry calls the function without arguments", function(s)
  local n
  local try = s.newtry(function(...) n = select("#", ...) end)
  pcall(try, nil, "why")
  return n
end, "0")
row("newtry calls it only when it fails", function(s)
  local called = false
  s.newtry(function() called = true end)(1)
  return called
end, "false")
row("an error of the function replaces the other", function(s)
  return s.protect(function()
    s.newtry(function() error("other", 0) end)(nil, "why")
  end)()
end, 'raises "other"')
row("newtry of no function raises when it fails", function(s)
  local try = s.newtry("x")
  return try(1), pcall(try, nil, "why") == false
end, "1, true")
row("nested calls end one after the other", function(s)
  local inner = s.protect(function() s.try(nil, "inner") end)
  return s.protect(function()
    local _, err = inner()
    s.try(nil, "outer, " .. err)
  end)()
end, 'nil, "outer, inner"')
row("yields across it work", function(s)
  local co = coroutine.wrap(s.protect(function()
    coroutine.yield "between"
    s.try(nil, "why")
  end))
  return co(), co()
end, '"between", nil, "why"')

return rows
