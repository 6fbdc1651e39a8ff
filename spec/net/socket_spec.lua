-- The promises of sockets.
-- SPDX-License-Identifier: MIT
local green = require "green"

--- A listener on a free port of the loopback, and the port.
local function listening(host, ...)
  local listener = assert(green.listen(host or "127.0.0.1", 0, ...))
  return listener, (select(2, listener:getsockname()))
end

--- Both ends of a connection.
local function pair(host)
  local listener, port = listening(host)
  local near = assert(green.connect(host or "127.0.0.1", port))
  local far = assert(listener:accept())
  listener:close()
  return near, far
end

--- Runs f(...) in a thread that is blocked when this returns.
local function blocked(f, ...)
  local t = green.spawn(f, ...)
  repeat green.sleep(0) until t:status() ~= "new" and t:status() ~= "ready"
  assert.equal("blocked", t:status())
  return t
end

local function has_ipv6()
  local listener = green.listen("::1", 0)
  if listener then listener:close() end
  return listener ~= nil
end

local function temporary(name)
  local path = os.tmpname()
  os.remove(path)
  return path .. name
end

--- Both ends of a connection with so much sent that there is no room for more,
--- and how much. By TCP the kernel would make some more, when it got round to
--- delivering.
local function stuffed()
  local near, far = green.socketpair()
  near:settimeout(0)
  local total, chunk = 0, ("x"):rep(65536)
  while true do
    local last, err, sent = near:send(chunk)
    total = total + (last or sent)
    if not last then
      assert.equal("timeout", err)
      near:settimeout()
      return near, far, total
    end
  end
end

local function read_exactly(sock, n)
  return assert(sock:receive(n))
end

describe("sockets", function()
  describe("connecting and listening", function()
    it("connects by IPv4 and tells both addresses", function()
      local listener, port = listening()
      local near = assert(green.connect("127.0.0.1", port))
      local far = assert(listener:accept())
      local host, number, family = near:getpeername()
      assert.same({"127.0.0.1", port, "inet"}, {host, number, family})
      local _, near_port = near:getsockname()
      assert.same({"127.0.0.1", near_port, "inet"}, {far:getpeername()})
      assert.equal("inet4", near:getfamily())
      assert.is_true(near:getoption("tcp-nodelay"))
    end)

    it("connects by IPv6", function()
      if not has_ipv6() then return pending("no IPv6 here") end
      local near, far = pair("::1")
      near:send("six")
      assert.equal("six", far:recv(10))
      assert.equal("inet6", (select(3, far:getsockname())))
    end)

    it("listens on every address, of both families, by default", function()
      local listener, port = listening("*")
      assert(green.connect("127.0.0.1", port)):close()
      assert(listener:accept()):close()
      if has_ipv6() then
        assert(green.connect("::1", port)):close()
        assert(listener:accept()):close()
      end
      local unnamed = assert(green.listen(nil, 0))
      assert.equal("number", type(select(2, unnamed:getsockname())))
    end)

    it("connects by name, trying every address", function()
      local listener, port = listening()
      local near = assert(green.connect("localhost", port, {timeout = 10}))
      assert(listener:accept())
      assert.equal("127.0.0.1", (near:getpeername()))
    end)

    it("speaks over Unix sockets and removes the file it made", function()
      local path = temporary(".sock")
      local listener = assert(green.listen("unix:" .. path))
      local near = assert(green.connect("unix:" .. path))
      local far = assert(listener:accept())
      assert.matches("^unixstream{client}: 0x", tostring(near))
      assert.matches("^unixstream{server}: 0x", tostring(listener))
      near:send("hello\n")
      assert.equal("hello", far:receive())
      assert.equal(path, listener:getsockname())
      listener:close()
      assert.is_nil(io.open(path))
      local other = assert(green.listen("unix:" .. path))
      other:close()
    end)

    it("makes the socket file with the mode asked for", function()
      local path = temporary(".sock")
      local listener <close> = assert(
        green.listen("unix:" .. path, nil, {mode = tonumber("600", 8)}))
      assert.matches("^srw%-%-%-%-%-%-%-",
        io.popen("ls -l " .. path):read("l"))
      assert(listener)
    end)

    it("replaces a socket file that nobody listens on, and no other", function()
      local path = temporary(".sock")
      local left = assert(green.listen("unix:" .. path))
      assert.same({nil, "address already in use"},
        {green.listen("unix:" .. path)})
      os.rename(path, path .. ".kept") -- closing it then leaves the file
      left:close()
      os.rename(path .. ".kept", path)
      assert(green.listen("unix:" .. path)):close()
      local file = assert(io.open(path, "w"))
      file:close()
      assert.same({nil, "address already in use"},
        {green.listen("unix:" .. path)})
      os.remove(path)
    end)

    it("refuses a port that there cannot be", function()
      for _, port in ipairs {65536, -1, "99999"} do
        for _, f in ipairs {green.listen, green.connect} do
          assert.has_error(function() f("127.0.0.1", port) end)
        end
      end
    end)

    it("says what is wrong in LuaSocket's words", function()
      local listener, port = listening()
      assert.same({nil, "address already in use"},
        {green.listen("127.0.0.1", port)})
      listener:close()
      assert.same({nil, "connection refused"},
        {green.connect("127.0.0.1", port)})
      assert.same({nil, "host or service not provided, or not known"},
        {green.connect("name.invalid", 80, {timeout = 10})})
      assert.same({nil, "No such file or directory"},
        {green.connect("unix:/nowhere/at/all")})
    end)

    it("binds to the address asked for before it connects", function()
      local listener, port = listening()
      local near = assert(
        green.connect("127.0.0.1", port, {bind = "127.0.0.2"}))
      assert.equal("127.0.0.2", (near:getsockname()))
      assert.equal("127.0.0.2", (assert(listener:accept()):getpeername()))
    end)

    it("lets two listeners share a port when asked", function()
      local _, port = listening("127.0.0.1", {reuseport = true})
      assert(green.listen("127.0.0.1", port, {reuseport = true}))
    end)

    it("raises for misuse, naming the function and the argument", function()
      assert.error_matches(function() green.connect(nil, 1) end,
        "bad argument #1 to 'connect' %(string expected, got nil%)")
      assert.error_matches(function() green.connect("127.0.0.1", {}) end,
        "bad argument #2 to 'connect'")
      assert.error_matches(function() green.listen("*", 0, {backlg = 1}) end,
        "unknown option 'backlg' in 'listen'")
      assert.error_matches(function()
        green.connect("127.0.0.1", 1, {timeout = "5"})
      end, "bad option 'timeout' in 'connect' %(number expected, got string%)")
    end)
  end)

  describe("LuaSocket's shape", function()
    it("changes its class in place", function()
      local sock = pair()
      assert.matches("^tcp{client}: 0x", tostring(sock))
      local listener = listening()
      assert.matches("^tcp{server}: 0x", tostring(listener))
      assert.equal("tcp{server}", getmetatable(listener).__index.class)
      assert.error_matches(function() listener:receive() end,
        "tcp{client} expected")
      assert.error_matches(function() sock:accept() end, "tcp{server} expected")
      assert.error_matches(function() sock:bind("*", 0) end,
        "tcp{master} expected")
      assert.error_matches(function() sock.receive(io.stdout) end,
        "tcp{client} expected")
    end)

    it("has every method of LuaSocket's tcp", function()
      local sock = pair()
      for name in ([[accept bind close connect dirty getfamily getfd getoption
          getpeername getsockname getstats setstats listen receive send setfd
          setoption setpeername setsockname settimeout gettimeout
          shutdown]]):gmatch("%S+") do
        assert.equal("function", type(sock[name]), name)
      end
    end)

    it("sets and gets options, and raises for unknown ones", function()
      local sock = pair()
      assert.equal(1, sock:setoption("keepalive", true))
      assert.is_true(sock:getoption("keepalive"))
      assert.equal(1, sock:setoption("linger", {on = true, timeout = 3}))
      assert.same({on = true, timeout = 3}, sock:getoption("linger"))
      assert.equal(1, sock:setoption("tcp-keepidle", 77))
      assert.equal(77, sock:getoption("tcp-keepidle"))
      assert.is_nil(sock:getoption("error"))
      assert.error_matches(function() sock:setoption("colour", 1) end,
        "bad argument #1 to 'setoption' %(unsupported option `colour'%)")
      assert.error_matches(function() sock:setoption("keepalive", 1) end,
        "bad argument #2 to 'setoption' %(boolean expected, got number%)")
    end)

    it("counts bytes and seconds", function()
      local near, far = pair()
      near:send("12345")
      far:receive(3)
      assert.equal(5, (select(2, near:getstats())))
      assert.equal(3, (far:getstats()))
      assert.equal(1, far:setstats(10, 20, 30))
      local received, sent, age = far:getstats()
      assert.same({10, 20}, {received, sent})
      assert.is_true(age >= 30 and age < 60)
    end)

    it("tells whether bytes are buffered", function()
      local near, far = pair()
      near:send("one\ntwo\n")
      far:receive()
      assert.is_true(far:dirty())
      far:receive()
      assert.is_false(far:dirty())
    end)

    it("lets go of a descriptor by setfd(-1), without closing it", function()
      local near, far = pair()
      local fd = far:getfd()
      far:setfd(-1)
      assert.equal(-1, far:getfd())
      assert.same({nil, "closed", ""}, {far:receive()})
      far:setfd(fd)
      near:send("still there\n")
      assert.equal("still there", far:receive())
    end)

    it("shuts down one direction", function()
      local near, far = pair()
      assert.equal(1, near:shutdown("send"))
      assert.same({nil, "closed"}, {far:recv(1)})
      assert.equal(1, far:send("x"))
      assert.equal("x", near:recv(1))
      assert.same({nil, "closed", 0}, {near:send("y")})
      assert.error_matches(function() near:shutdown("up") end,
        "bad argument #1 to 'shutdown'")
    end)
  end)

  describe("receive", function()
    it("reads lines, dropping every carriage return", function()
      local near, far = pair()
      near:send("a\r\n\r\nb\rc\nlast")
      assert.same({"a", n = 3}, table.pack(far:receive()))
      assert.equal("", far:receive("*l"))
      assert.equal("bc", far:receive("*l"))
      near:close()
      assert.same({nil, "closed", "last"}, {far:receive()})
      assert.same({nil, "closed", ""}, {far:receive()})
    end)

    it("puts a line together that comes in pieces", function()
      local near, far = pair()
      local t = blocked(far.receive, far)
      near:send("one ")
      green.sleep(0.001)
      near:send("line\nrest")
      assert.equal("one line", (t:wait(10)))
      assert.equal("rest", far:recv(100))
    end)

    it("reads exactly n bytes, more than a buffer holds too", function()
      local near, far = pair()
      local data = ("0123456789"):rep(50000)
      green.spawn(near.send, near, data .. "tail")
      assert.equal(data, read_exactly(far, #data))
      assert.equal("tail", read_exactly(far, 4))
    end)

    it("finds out by receive(0) whether there is something", function()
      local near, far = pair()
      far:settimeout(0)
      assert.same({nil, "timeout", ""}, {far:receive(0)})
      far:settimeout()
      near:send("x")
      assert.equal("", far:receive(0))
      assert.equal("x", far:receive(1))
      near:close()
      assert.same({nil, "closed", ""}, {far:receive(0)})
    end)

    it("reads all until the peer closes", function()
      local near, far = pair()
      green.spawn(function()
        for _ = 1, 10 do near:send(("y"):rep(10000)) green.sleep(0) end
        near:close()
      end)
      assert.equal(("y"):rep(100000), far:receive("*a"))
      assert.same({nil, "closed", ""}, {far:receive("*a")})
    end)

    it("puts the prefix before the result and counts it", function()
      local near, far = pair()
      near:send("tail\n45678")
      assert.equal("head tail", far:receive("*l", "head "))
      assert.equal("12345", far:receive(5, "123"))
      assert.equal("123", far:receive(2, "123"))
      assert.equal("20067", far:receive(5, 200))
      near:close()
      assert.same({nil, "closed", "<8"}, {far:receive(9, "<")})
      assert.same({nil, "closed", "p"}, {far:receive("*a", "p")})
    end)

    it("takes Lua's own patterns, without the star, too", function()
      local near, far = pair()
      near:send("a\r\nb\r\nc\n\nrest")
      assert.equal("a", far:receive("l"))
      assert.equal("b\r\n", far:receive("L"))
      assert.equal("p:c\n", far:receive("*L", "p:"))
      assert.equal("\n", far:receive("L"))
      near:close()
      assert.equal("rest", far:receive("a"))
      assert.same({nil, "closed", ""}, {far:receive("L")})
    end)

    it("refuses other patterns", function()
      local _, far = pair()
      for _, pattern in ipairs {"n", "*n", -1, "", "*", "line"} do
        assert.error_matches(function() far:receive(pattern) end,
          "invalid receive pattern")
      end
    end)

    it("hands the partial result over when time is up, and only once",
      function()
        local near, far = pair()
        near:send("par")
        far:settimeout(0.02)
        assert.same({nil, "timeout", "par"}, {far:receive()})
        near:send("tial\n")
        assert.equal("tial", far:receive())
      end)

    it("keeps what came when a timeout of green's strikes", function()
      local near, far = pair()
      near:send("kept ")
      local ok, err = pcall(function()
        local _ <close> = green.timeout(0.01)
        far:receive()
      end)
      assert.is_false(ok)
      assert.is_true(green.is_timeout(err))
      near:send("whole\n")
      assert.equal("kept whole", far:receive())
    end)
  end)

  describe("recv", function()
    it("returns what is there, at most n bytes", function()
      local near, far = pair()
      near:send("abcdef")
      assert.equal("abcd", far:recv(4))
      assert.equal("ef", far:recv(4))
      near:close()
      assert.same({nil, "closed"}, {far:recv(4)})
    end)

    it("takes first what receive has left", function()
      local near, far = pair()
      near:send("line\nrest")
      assert.equal("line", far:receive())
      assert.equal("re", far:recv(2))
      assert.equal("st", far:recv(2))
    end)

    it("raises for anything but a positive number", function()
      local _, far = pair()
      assert.error_matches(function() far:recv(0) end,
        "bad argument #1 to 'recv' %(positive number expected%)")
      assert.error_matches(function() far:recv() end,
        "bad argument #1 to 'recv'")
    end)
  end)

  describe("send", function()
    it("sends parts of the string and returns the last index", function()
      local near, far = pair()
      assert.same({3, n = 3}, table.pack(near:send("hello", 2, 3)))
      assert.equal(5, near:send("hello", -2))
      assert.equal(3, near:send("hello", 4, 2))
      assert.equal(8, near:send("hello", 9))
      assert.equal(0, near:send(""))
      near:close()
      assert.equal("ello", far:receive("*a"))
      assert.same({nil, "closed", 1}, {near:send("hello", 2)})
    end)

    it("sends all of it, however slowly the peer reads", function()
      local near, far = pair()
      local data = ("0123456789abcdef"):rep(100000)
      local t = green.spawn(near.send, near, data)
      assert.equal(data, read_exactly(far, #data))
      assert.equal(#data, (t:wait(10)))
    end)

    it("never mixes the sends of several threads", function()
      local near, far = pair()
      local n <const> = 300000
      for _, letter in ipairs {"a", "b", "c"} do
        green.spawn_n(near.send, near, letter:rep(n))
      end
      assert.equal(("a"):rep(n), read_exactly(far, n))
      assert.equal(("b"):rep(n), read_exactly(far, n))
      assert.equal(("c"):rep(n), read_exactly(far, n))
    end)

    it("serves writers first come, first served, under back-pressure",
      function()
        local near, far, sent = stuffed()
        for i = 1, 5 do blocked(near.send, near, i .. "\n") end
        read_exactly(far, sent)
        for i = 1, 5 do assert.equal(tostring(i), far:receive()) end
      end)

    it("tells how far it came when time is up", function()
      local near, far = stuffed()
      near:settimeout(0.02)
      local ok, err, last = near:send(("z"):rep(1000000))
      assert.same({nil, "timeout"}, {ok, err})
      far:close() -- not earlier, by the collector
      assert.is_true(last >= 0 and last < 1000000)
    end)

    it("is broken for good after a send that was cut off midway", function()
      local near, far = pair()
      local t = blocked(near.send, near, ("z"):rep(50000000))
      local waiting = blocked(near.send, near, "next")
      t:kill()
      assert.is_false((t:join(10)))
      local ok, err, last = waiting:wait(10)
      assert.is_nil(ok)
      assert.matches("^send was cut after %d+ bytes$", err)
      assert.equal(0, last)
      assert.equal(err, (select(2, near:send("more"))))
      local sent = tonumber(err:match("%d+"))
      read_exactly(far, sent)
      far:settimeout(0)
      assert.same({nil, "timeout"}, {far:recv(1)})
      far:settimeout()
      far:send("the other direction works\n")
      assert.equal("the other direction works", near:receive())
    end)

    it("is not broken by a kill that struck before the first byte", function()
      local near, far, sent = stuffed()
      local t = blocked(near.send, near, "never")
      t:kill()
      t:join(10)
      read_exactly(far, sent)
      assert.equal(3, near:send("yes"))
      assert.equal("yes", far:recv(10))
    end)
  end)

  describe("time limits", function()
    it("polls with 0: tries once and does not switch", function()
      local near, far = pair()
      near:settimeout(0)
      local ran = false
      green.spawn_n(function() ran = true end)
      far:settimeout(0)
      assert.same({nil, "timeout", ""}, {far:receive()})
      assert.same({nil, "timeout"}, {far:recv(1)})
      for _ = 1, 200 do assert.equal(1, near:send("x")) end
      assert.is_false(ran)
      green.sleep(0)
      far:settimeout()
      assert.equal(200, #read_exactly(far, 200))
      assert.is_true(ran)
    end)

    it("polls even when an interruption is pending", function()
      local _, far = pair()
      far:settimeout(0)
      local t = green.spawn(function()
        pcall(green.sleep, 10)
        return far:receive()
      end)
      green.sleep(0)
      t:kill()
      assert.same({true, nil, "timeout", ""}, {t:join(10)})
    end)

    it("limits each step by 'b' and the whole call by 't'", function()
      local near, far = pair()
      far:settimeout(5, "b")
      far:settimeout(0.05, "t")
      assert.same({5, 0.05}, {far:gettimeout()})
      local stop = false
      green.spawn_n(function()
        while not stop do near:send("x") green.sleep(0.005) end
      end)
      local ok, err, partial = far:receive(1000000)
      stop = true
      assert.same({nil, "timeout"}, {ok, err})
      assert.is_true(#partial >= 1)
      far:settimeout(-1, "t")
      far:settimeout(nil)
      assert.same({-1, -1}, {far:gettimeout()})
      assert.error_matches(function() far:settimeout(1, "x") end,
        "invalid timeout mode")
      assert.error_matches(function() far:settimeout(0 / 0) end, "NaN")
    end)

    it("limits accept", function()
      local listener = listening()
      listener:settimeout(0.01)
      assert.same({nil, "timeout"}, {listener:accept()})
      listener:settimeout(0)
      assert.same({nil, "timeout"}, {listener:accept()})
    end)

    it("limits connect", function()
      -- A backlog that is full: nobody answers.
      local listener, port = listening("127.0.0.1", {backlog = 0})
      local held = {}
      repeat
        local sock, err = green.connect("127.0.0.1", port, {timeout = 0.05})
        held[#held + 1] = sock
      until err or #held > 8
      local before = green.now()
      assert.same({nil, "timeout"},
        {green.connect("127.0.0.1", port, {timeout = 0.03})})
      assert.is_true(green.now() - before >= 0.03)
      assert(listener)
    end)
  end)

  describe("one reader", function()
    it("refuses a second one, naming both", function()
      local _, far = pair()
      local first = blocked(far.receive, far)
      first.name = "first"
      local second = green.spawn(far.recv, far, 1)
      second.name = "second"
      local ok, err = second:join(10)
      assert.is_false(ok)
      assert.matches("socket is already being read by green thread #"
        .. first.id .. " first", err)
      assert.matches("#" .. second.id .. " second", err)
      first:kill()
    end)

    it("holds also while the first has been woken and has not run", function()
      local near, far = pair()
      local first = blocked(far.recv, far, 10)
      near:send("mine")
      repeat green.sleep(0) until first:status() ~= "blocked"
      if first:status() == "ready" then
        assert.is_false(pcall(far.recv, far, 10))
      end
      assert.equal("mine", (first:wait(10)))
    end)

    it("may be followed by another after its end", function()
      local near, far = pair()
      local first = blocked(far.receive, far)
      first:kill()
      first:join(10)
      near:send("free\n")
      assert.equal("free", far:receive())
    end)
  end)

  describe("close", function()
    it("wakes the reader, with what had come", function()
      local near, far = pair()
      near:send("some")
      local t = blocked(far.receive, far)
      far:close()
      assert.same({nil, "closed", "some"}, {t:wait(10)})
      local other, far_end = pair()
      local u = blocked(other.recv, other, 1)
      other:close()
      assert.same({nil, "closed"}, {u:wait(10)})
      assert(far_end)
    end)

    it("wakes writers, the one at work and those in line", function()
      local near, far = pair()
      local t = blocked(near.send, near, ("x"):rep(50000000))
      local u = blocked(near.send, near, "next")
      near:close()
      assert.equal("closed", (select(2, t:wait(10))))
      assert.same({nil, "closed", 0}, {u:wait(10)})
      far:close()
    end)

    it("wakes who accepts", function()
      local listener = listening()
      local t = blocked(listener.accept, listener)
      listener:close()
      assert.same({nil, "closed"}, {t:wait(10)})
    end)

    it("is harmless twice; everything after it says closed", function()
      local near = pair()
      assert.equal(1, near:close())
      assert.equal(1, near:close())
      assert.equal(-1, near:getfd())
      assert.same({nil, "closed"}, {near:recv(1)})
      assert.same({nil, "closed", ""}, {near:receive()})
      assert.same({nil, "closed", 0}, {near:send("x")})
      assert.same({nil, "closed"}, {near:getpeername()})
    end)

    it("comes with the end of a block", function()
      local near, far = pair()
      do
        local sock <close> = near
        sock:send("bye")
      end
      assert.equal("bye", far:receive("*a"))
    end)

    it("is done by the collector for a socket that is garbage", function()
      local near, far = pair()
      near:send("x")
      near = nil -- luacheck: ignore
      collectgarbage()
      assert.equal("x", far:receive("*a"))
    end)
  end)

  describe("interruptions", function()
    it("leave accept with the connection still to be accepted", function()
      local listener, port = listening()
      local t = blocked(listener.accept, listener)
      t:kill()
      assert.is_false((t:join(10)))
      local near = assert(green.connect("127.0.0.1", port))
      assert(listener:accept()):send("hello")
      assert.equal("hello", near:recv(5))
    end)

    it("leave the bytes of receive and recv in place", function()
      local near, far = pair()
      for _, name in ipairs {"receive", "recv"} do
        near:send("half")
        local t = blocked(far.receive, far, 8)
        t:kill()
        assert.is_false((t:join(10)))
        assert.equal("half", far:recv(8))
        local u = blocked(far[name], far, 1)
        u:kill()
        assert.is_false((u:join(10)))
      end
      near:send("all")
      assert.equal("all", far:recv(8))
    end)

    it("strike connect, and leave nothing open", function()
      local listener, port = listening("127.0.0.1", {backlog = 0})
      local held, t = {}, nil
      for i = 1, 9 do
        t = green.spawn(function()
          held[i] = green.connect("127.0.0.1", port)
        end)
        green.with_timeout(0.05, t.join, t)
        if t:status() == "blocked" then break end
      end
      assert.equal("blocked", t:status())
      t:kill()
      assert.is_false((t:join(10)))
      assert.is_true(#held < 9)
      assert(listener)
    end)

    it("strike by green.timeout at each of them", function()
      local listener = listening()
      local near, far = stuffed()
      assert(far)
      for _, call in ipairs {
        function() listener:accept() end,
        function() near:send("x") end,
        function() near:receive() end,
        function() near:recv(1) end,
      } do
        local ok, err = pcall(function()
          local _ <close> = green.timeout(0.01)
          call()
        end)
        assert.is_false(ok)
        assert.is_true(green.is_timeout(err))
      end
    end)

    it("are noticed on entry even when nothing has to be waited for",
      function()
        local near, far = pair()
        near:send("here")
        local t = green.spawn(function()
          pcall(green.sleep, 10)
          return far:recv(4)
        end)
        green.sleep(0)
        t:kill()
        assert.is_false((t:join(10)))
        assert.equal("here", far:recv(4))
      end)
  end)

  describe("many at a time", function()
    it("gives others a turn while one never has to wait", function()
      local near, far = pair()
      near:send(("x"):rep(1000))
      local turns = 0
      local t = green.spawn(function()
        while true do turns = turns + 1 green.sleep(0) end
      end)
      for _ = 1, 1000 do far:recv(1) end
      t:kill()
      assert.is_true(turns > 5)
    end)

    it("keeps a hundred conversations apart", function()
      local listener, port = listening()
      green.spawn_n(green.serve, listener, function(conn)
        for line in conn:lines() do conn:send(line .. "\n") end
      end)
      local threads = {}
      for i = 1, 100 do
        threads[i] = green.spawn(function()
          local sock <close> = assert(green.connect("127.0.0.1", port))
          for j = 1, 20 do
            local text = i .. ":" .. j
            assert(sock:send(text .. "\n"))
            assert(sock:receive() == text)
          end
        end)
      end
      for _, t in ipairs(threads) do t:wait(20) end
      listener:close()
    end)
  end)

  describe("iterators", function()
    it("go over lines, the unfinished last one too", function()
      local near, far = pair()
      near:send("one\r\n\ntwo")
      near:close()
      local lines = {}
      for line in far:lines() do lines[#lines + 1] = line end
      assert.same({"one", "", "two"}, lines)
    end)

    it("go over chunks", function()
      local near, far = pair()
      near:send("abcde")
      near:close()
      local chunks = {}
      for data in far:chunks(2) do chunks[#chunks + 1] = data end
      assert.same({"ab", "cd", "e"}, chunks)
      assert.error_matches(function() far:chunks(0) end,
        "bad argument #1 to 'chunks'")
    end)

    it("raise when it was not the peer's end", function()
      local _, far = pair()
      far:settimeout(0.01)
      assert.error_matches(function()
        for _ in far:lines() do end -- luacheck: ignore
      end, "timeout")
    end)
  end)

  describe("wait_fd", function()
    it("waits for anybody's descriptor, or for a socket's", function()
      local near, far = pair()
      assert.is_true((green.wait_fd(far:getfd(), "w")))
      assert.same({nil, "timeout"}, {green.wait_fd(far, "r", 0)})
      assert.same({nil, "timeout"}, {green.wait_fd(far, "r", 0.01)})
      local t = blocked(green.wait_fd, far:getfd(), "r")
      near:send("x")
      assert.is_true((t:wait(10)))
      assert.is_true((green.wait_fd(far, "r", 0)))
      assert.equal("x", far:recv(1))
    end)

    it("raises for misuse", function()
      assert.error_matches(function() green.wait_fd({}, "r") end,
        "bad argument #1 to 'wait_fd' %(descriptor expected%)")
      assert.error_matches(function() green.wait_fd(0, "x") end,
        "bad argument #2 to 'wait_fd'")
    end)
  end)

  describe("running out of descriptors", function()
    --- Runs f while no descriptor can be had.
    local function exhausted(f)
      local files = {}
      collectgarbage()
      collectgarbage()
      while true do
        local file = io.open("/dev/null")
        if not file then break end
        files[#files + 1] = file
      end
      local ok, err = pcall(f, files)
      for _, file in ipairs(files) do file:close() end
      assert(ok, err)
    end

    it("is returned as an error", function()
      local listener, port = listening()
      local near = green.connect("127.0.0.1", port)
      exhausted(function()
        assert.same({nil, "too many open files"}, {listener:accept()})
        assert.same({nil, "too many open files"},
          {green.connect("127.0.0.1", port)})
        assert.same({nil, "too many open files"},
          {green.listen("127.0.0.1", 0)})
      end)
      assert(listener:accept()):send("late")
      assert.equal("late", near:recv(4))
    end)

    it("collects garbage that holds some first", function()
      local listener, port = listening()
      assert(green.connect("127.0.0.1", port))
      local ends = {pair()} -- luacheck: ignore
      collectgarbage("stop")
      exhausted(function()
        ends[1], ends[2] = nil, nil
        assert(listener:accept())
      end)
      collectgarbage("restart")
    end)
  end)
end)
