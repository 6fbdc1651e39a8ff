-- What LuaSocket does: objects, and streams that send and receive.
-- SPDX-License-Identifier: MIT

local rows, row = require "spec.net.luasocket.rows" ()

--------------------------------------------------------------- objects --

row("tcp is a master", function(s) return s.tcp() end, "tcp{master}")
row("tcp4 is a master", function(s) return s.tcp4() end, "tcp{master}")
row("no port is port 0", function(s)
  local _, connects = s.connect("127.0.0.1", "")
  local _, sends = s.udp():sendto("x", "127.0.0.1", "")
  return s.tcp():bind("127.0.0.1", ""), s.udp():setsockname("127.0.0.1", ""),
    connects, sends
end, '1, 1, "connection refused", "Invalid argument"')
row("connect: no port, or none that is a text", function(s)
  local _, port = pcall(s.connect, "127.0.0.1", {})
  local _, host = pcall(s.connect, nil, 1)
  return port:match "%(.*", host:match "%(.*"
end, '"(string expected, got table)", "(string expected, got nil)"')
row("sendto: a port that is none", function(s)
  return s.udp():sendto("x", "127.0.0.1", -1)
end, 'nil, "Servname not supported for ai_socktype"')
row("linger's time may be a text", function(s)
  return s.tcp4():setoption("linger", {on = true, timeout = "3"})
end, "1")
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

return rows
