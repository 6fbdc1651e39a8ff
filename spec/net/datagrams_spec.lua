-- The promises of datagrams: UDP and Unix sockets.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"
local luasocket = require "green.socket"

local LOCAL <const> = "127.0.0.1"

--- A socket on a free port of the loopback, and the port.
local function bound(host)
  local sock = assert(green.udp(host or LOCAL, 0))
  return sock, (select(2, sock:getsockname()))
end

local function has_ipv6()
  local sock = green.udp("::1", 0)
  if sock then sock:close() end
  return sock ~= nil
end

local function temporary()
  local path = os.tmpname()
  os.remove(path)
  return path
end

--- A Unix socket with a name, whose file is gone after the block.
local function named()
  local path = temporary()
  local sock = assert(green.udp("unix:" .. path))
  return sock, path, setmetatable({}, {__close = function()
    sock:close()
    os.remove(path)
  end})
end

describe("datagrams", function()
  it("go to an address, and come with that of their sender", function()
    local a <close>, port = bound()
    local b <close> = green.udp()
    assert.equal(-1, b:getfd())
    assert.equal(5, b:sendto("hello", LOCAL, port))
    local data, host, from = a:receivefrom()
    assert.same({"hello", LOCAL}, {data, host})
    assert.equal(5, a:sendto("reply", host, from))
    assert.equal("reply", b:receive())
    assert.equal("udp{unconnected}", green.type(b))
  end)

  it("may be empty, hold zeros, and are never joined", function()
    local a <close>, port = bound()
    local b <close> = green.udp()
    for _, data in ipairs {"", "a\0b", "", ("x"):rep(65507)} do
      assert.equal(#data, b:sendto(data, LOCAL, port))
    end
    assert.equal("", a:receive())
    assert.equal("a\0b", a:receive())
    assert.same({"", LOCAL}, {a:receivefrom(), LOCAL})
    assert.equal(65507, #a:receive())
    a:settimeout(0)
    assert.same({nil, "timeout"}, {a:receive()})
    assert.same({nil, "Message too long"},
      {b:sendto(("x"):rep(65508), LOCAL, port)})
  end)

  it("tell when they were truncated", function()
    local a <close>, port = bound()
    local b <close> = green.udp()
    for _ = 1, 4 do b:sendto("12345", LOCAL, port) end
    assert.same({"123", "truncated", 5}, {a:receive(3)})
    assert.same({"", "truncated", 5}, {a:receive(0)})
    local data, _, _, cut, size = a:receivefrom(4)
    assert.same({"1234", "truncated", 5}, {data, cut, size})
    assert.equal(1, select("#", a:receive(5)))
  end)

  it("have a peer after setpeername, until it is \"*\"", function()
    local a <close>, port = bound()
    local b <close> = green.udp()
    assert.equal(1, b:setpeername(LOCAL, port))
    assert.equal("udp{connected}", b.class)
    assert.equal(1, b:send("x"))
    assert.same({LOCAL, port, "inet"}, {b:getpeername()})
    assert.is_false(pcall(b.sendto, b, "x", LOCAL, port))
    local _, host, from = a:receivefrom()
    local stranger <close> = green.udp()
    stranger:sendto("not from the peer", host, from)
    a:sendto("from the peer", host, from)
    assert.equal("from the peer", b:receivefrom())
    assert.equal(1, b:setpeername "*")
    assert.equal("udp{unconnected}", b.class)
    assert.is_false(pcall(b.send, b, "x"))
    assert.equal(1, b:sendto("x", LOCAL, port))
  end)

  it("are told once that nobody is there", function()
    local a, port = bound()
    a:close()
    local b <close> = green.udp()
    b:setpeername(LOCAL, port)
    b:send("x")
    assert.same({nil, "connection refused"}, {b:receive()})
    b:settimeout(0)
    assert.same({nil, "timeout"}, {b:receive()})
  end)

  it("look up names, and take numbers as text", function()
    local a <close>, port = bound()
    local b <close> = assert(green.udp(LOCAL, "0"))
    assert.equal(1, b:sendto("x", "localhost", port))
    assert.equal(1, b:sendto("y", LOCAL, tostring(port)))
    assert.equal("x", a:receive())
    assert.equal("y", a:receive())
    assert.equal(1, b:setpeername("localhost", port))
    assert.same({nil, "host or service not provided, or not known"},
      {b:setpeername("no host\0", port)})
    assert.is_false(pcall(green.udp, LOCAL, -1))
    assert.is_false(pcall(green.udp, LOCAL, 0, {nodelay = true}))
  end)

  it("reach one socket by both families", function()
    if not has_ipv6() then return pending("no IPv6 here") end
    local a <close>, port = bound "*"
    local b <close> = green.udp()
    local c <close> = green.udp()
    b:sendto("four", LOCAL, port)
    local data, host, from = a:receivefrom()
    assert.same({"four", "::ffff:127.0.0.1"}, {data, host})
    a:sendto("back", host, from)
    assert.equal("back", b:receive())
    a:sendto("mapped", LOCAL, from)
    assert.equal("mapped", b:receive())
    c:sendto("six", "::1", port)
    assert.equal("six", a:receive())
  end)

  it("keep a socket to its family once it has one", function()
    local b <close> = assert(green.udp(LOCAL, 0))
    assert.is_nil(b:sendto("x", "::1", 9))
    assert.is_nil(b:setpeername("::1", 9))
    assert.equal("inet4", b:getfamily())
  end)

  it("end a wait when the socket is closed", function()
    local a, port = bound()
    local t = help.blocked(green.spawn(a.receivefrom, a))
    a:close()
    assert.same({nil, "closed"}, {t:wait()})
    assert.same({nil, "closed"}, {a:receive()})
    assert.same({nil, "closed"}, {a:sendto("x", LOCAL, port)})
    assert.equal(1, a:close())
  end)

  it("refuse a second receiver, naming the first", function()
    local a <close> = bound()
    local t <close> = help.blocked(green.spawn(a.receivefrom, a))
    t.name = "first"
    local ok, err = pcall(a.receive, a)
    assert.is_false(ok)
    assert.matches("already being read.*first", err)
  end)

  it("are iterated over until the socket is closed", function()
    local a <close>, port = bound()
    local b <close> = green.udp()
    for i = 1, 3 do b:sendto(tostring(i), LOCAL, port) end
    local list = {}
    for data, host in a:datagrams() do
      list[#list + 1] = data .. host
      if data == "3" then a:close() end
    end
    assert.same({"1127.0.0.1", "2127.0.0.1", "3127.0.0.1"}, list)
  end)

  it("have the limit of their socket", function()
    local a <close> = bound()
    a:settimeout(0.01)
    local began = green.now()
    assert.same({nil, "timeout"}, {a:receivefrom()})
    assert.is_true(green.now() - began >= 0.01)
    local to <close> = green.timeout(0.001)
    a:settimeout()
    assert.equal(to, select(2, pcall(a.receive, a)))
  end)

  it("lose none to finalizers that receive, too", function()
    local a <close>, port = bound()
    local b <close> = green.udp()
    local got = {}
    local function receive()
      local data = a:receive()
      got[#got + 1] = data
      return data
    end
    for i = 1, 20 do b:sendto(tostring(i), LOCAL, port) end
    a:settimeout(0)
    for _ = 1, 10 do
      help.at_next(receive)
      receive()
    end
    collectgarbage()
    while receive() do end
    table.sort(got, function(x, y) return tonumber(x) < tonumber(y) end)
    for i = 1, 20 do assert.equal(tostring(i), got[i]) end
    collectgarbage "incremental"
  end)

  describe("options", function()
    it("are set and got by name", function()
      local a <close> = bound()
      for name, value in pairs {broadcast = true, dontroute = true,
          reuseaddr = true, ["ip-multicast-loop"] = false,
          ["ip-multicast-ttl"] = 3, ["ip-multicast-if"] = LOCAL} do
        assert.equal(1, a:setoption(name, value))
        assert.equal(value, a:getoption(name))
      end
      assert.equal(1, a:setoption("ip-multicast-if", "*"))
      assert.equal("0.0.0.0", a:getoption "ip-multicast-if")
      assert.is_nil(a:getoption "error")
      assert.is_false(pcall(a.setoption, a, "tcp-nodelay", true))
      assert.is_false(pcall(a.getoption, a, "ip-add-membership"))
      assert.is_false(pcall(a.setoption, a, "ip-multicast-if", "nonsense"))
    end)

    it("choose a family where there is none yet", function()
      local a <close> = green.udp()
      local b <close> = green.udp()
      assert.equal(1, a:setoption("broadcast", true))
      assert.equal("inet4", a:getfamily())
      if not has_ipv6() then return end
      assert.equal(1, b:setoption("ipv6-multicast-hops", 2))
      assert.equal("inet6", b:getfamily())
      assert.equal(2, b:getoption "ipv6-multicast-hops")
      assert.is_not.equal(2, b:getoption "ipv6-unicast-hops")
    end)

    it("join a group and leave it", function()
      local group = "239.255.13.7"
      local a <close> = assert(green.udp("*", 0, {family = "inet",
        reuseaddr = true}))
      local _, port = a:getsockname()
      local member = {multiaddr = group, interface = LOCAL}
      assert.equal(1, a:setoption("ip-add-membership", member))
      assert.is_nil(a:setoption("ip-add-membership", member))
      local b <close> = assert(green.udp(LOCAL, 0))
      assert.equal(1, b:setoption("ip-multicast-if", LOCAL))
      assert.equal(1, b:setoption("ip-multicast-loop", true))
      if b:sendto("all of you", group, port) then
        assert.equal("all of you", a:receive())
      end
      assert.equal(1, a:setoption("ip-drop-membership", member))
      assert.is_nil(a:setoption("ip-drop-membership", member))
      for _, bad in ipairs {{}, {multiaddr = "x"}, {multiaddr = "::1"},
          {multiaddr = group, interface = "no such one"}} do
        assert.is_false(pcall(a.setoption, a, "ip-add-membership", bad))
      end
    end)

    it("join a group of IPv6", function()
      if not has_ipv6() then return pending("no IPv6 here") end
      local a <close> = assert(green.udp("::", 0))
      local member = {multiaddr = "ff02::4242", interface = "lo"}
      if a:setoption("ipv6-add-membership", member) then
        assert.equal(1, a:setoption("ipv6-drop-membership", member))
      end
      member.interface = 1
      if a:setoption("ipv6-add-membership", member) then
        assert.equal(1, a:setoption("ipv6-drop-membership", member))
      end
      member.interface = {}
      assert.is_false(pcall(a.setoption, a, "ipv6-add-membership", member))
    end)
  end)

  describe("of the Unix family", function()
    it("go to a path, and come with that of their sender", function()
      local a, path, _ <close> = named()
      local b, other, _ <close> = named()
      local c <close> = green.udp "unix:"
      assert.equal(path, a:getsockname())
      assert.equal(1, b:sendto("x", path))
      assert.same({"x", other}, {a:receivefrom()})
      assert.equal(1, c:sendto("y", path))
      assert.same({"y", ""}, {a:receivefrom()})
      assert.equal(1, c:setpeername(path))
      assert.equal(1, c:send("z"))
      assert.equal("z", a:receive())
      assert.same({nil, "No such file or directory"},
        {b:sendto("x", path .. "no")})
    end)

    it("are received whole, however large", function()
      local a, path, _ <close> = named()
      local b <close> = green.udp "unix:"
      local large = ("x"):rep(150000)
      for _ = 1, 2 do
        assert.equal(#large, b:sendto(large, path))
        assert.is_true(a:receive() == large)
      end
      b:sendto(large, path)
      assert.same({"x", "", nil, "truncated", 150000}, {a:receivefrom(1)})
    end)

    it("wait for room, connected or not", function()
      local a, path, _ <close> = named()
      for _, connected in ipairs {true, false} do
        local b <close> = green.udp "unix:"
        if connected then b:setpeername(path) end
        local function send(data)
          if connected then return b:send(data) end
          return b:sendto(data, path)
        end
        b:settimeout(0)
        local sent = 0
        while send("x") do sent = sent + 1 end
        b:settimeout(0.005)
        assert.same({nil, "timeout"}, {send("x")})
        b:settimeout()
        local t = help.blocked(green.spawn(send, "late"))
        for _ = 1, sent do assert.equal("x", a:receive()) end
        assert.equal("late", a:receive())
        assert.equal(4, t:wait())
      end
    end)
  end)

  describe("LuaSocket's", function()
    it("have its classes and its words", function()
      local a <close> = luasocket.udp()
      local b <close> = luasocket.udp4()
      assert.matches("^udp{unconnected}: 0x", tostring(a))
      assert.equal(-1, a:getfd())
      assert.equal(1, a:setsockname("*", 0))
      local host, port = a:getsockname()
      assert.equal("0.0.0.0", host)
      assert.same({nil, "Name or service not known"},
        {b:sendto("x", "localhost", port)})
      assert.same({nil, "Name or service not known"},
        {b:sendto("x", LOCAL, "http")})
      assert.same({nil, "Address family for hostname not supported"},
        {b:sendto("x", "::1", port)})
      assert.equal(10000, b:sendto(("x"):rep(10000), LOCAL, port))
      assert.equal(8192, #a:receive())
      assert.equal(10000, b:sendto(("x"):rep(10000), LOCAL, port))
      assert.equal(10000, #a:receive(20000))
      b:sendto("12345", LOCAL, port)
      assert.equal(3, select("#", a:receivefrom(2)))
      assert.is_nil(a.recv)
      assert.equal(1, b:setpeername(LOCAL, port))
      assert.matches("^udp{connected}: 0x", tostring(b))
    end)

    it("raise where the class is wrong", function()
      local a <close> = luasocket.udp4()
      local tcp <close> = luasocket.tcp()
      local methods = getmetatable(tcp).__index
      local function words(f, ...)
        local ok, err = pcall(f, ...)
        assert.is_false(ok)
        return err
      end
      assert.matches("udp{connected} expected", words(a.send, a, "x"))
      assert.matches("udp{connected} expected", words(a.getpeername, a))
      assert.matches("udp{unconnected} expected", words(a.sendto, tcp, "x"))
      assert.matches("tcp{client} expected", words(methods.send, a, "x"))
      assert.matches("tcp{client} expected", words(methods.receive, a))
      assert.matches("udp{any} expected", words(a.receive, io.stdout))
      a:setpeername(LOCAL, 9)
      assert.matches("udp{unconnected} expected", words(a.receivefrom, a))
      assert.matches("tcp{client} expected", words(methods.send, a, "x"))
    end)
  end)
end)

describe("udp_server", function()
  local function asks(port, ...)
    local sock <close> = green.udp()
    sock:setpeername(LOCAL, port)
    sock:settimeout(10)
    local answers = {}
    for _, data in ipairs {...} do
      sock:send(data)
      answers[#answers + 1] = sock:receive()
    end
    return answers
  end

  help.both(it, "runs a handler for each datagram, until it is closed",
    function()
      local sock, port = bound()
      local t = green.spawn(green.udp_server, sock, function(s, data, ...)
        green.sleep(0)
        s:sendto(data:upper(), ...)
      end)
      assert.same({"A", "", "C"}, asks(port, "a", "", "c"))
      sock:close()
      assert.is_true(t:wait())
    end)

  it("runs no more handlers at once than it is told", function()
    local sock <close>, port = bound()
    local gate, running, most = green.event(), 0, 0
    local function handler()
      running = running + 1
      most = math.max(most, running)
      gate:wait()
      running = running - 1
    end
    for _, limit in ipairs {2, green.pool(2)} do
      gate, running, most = green.event(), 0, 0
      local t <close> = green.spawn(green.udp_server, sock, handler, limit)
      local b <close> = green.udp()
      for _ = 1, 6 do b:sendto("x", LOCAL, port) end
      help.wait_until(function() return running == 2 end)
      for _ = 1, 10 do green.sleep(0) end
      assert.equal(2, most)
      gate:send()
      help.wait_until(function() return running == 0 end)
      help.blocked(t)
    end
  end)

  it("ends when a handler raises StopServe, and leaves the socket", function()
    local sock <close>, port = bound()
    local errors = help.collecting(function()
      local t = green.spawn(green.udp_server, sock, function(_, data)
        if data == "stop" then error(green.StopServe) end
        error(data, 0)
      end)
      local b <close> = green.udp()
      b:sendto("bad", LOCAL, port)
      b:sendto("stop", LOCAL, port)
      assert.is_true(t:wait())
    end)
    assert.equal("bad", errors[1].err)
    assert.equal(1, #errors)
    assert.is_true(sock:getfd() >= 0)
  end)

  it("leaves the socket open when it is killed", function()
    local sock <close>, port = bound()
    local t = help.blocked(green.spawn(green.udp_server, sock, print))
    t:kill()
    t:join()
    local b <close> = green.udp()
    b:sendto("x", LOCAL, port)
    assert.equal("x", sock:receive())
  end)

  it("goes on when a peer is gone, and after a limit", function()
    local sock <close>, port = bound()
    local gone, dead = bound()
    gone:close()
    sock:settimeout(0.001)
    local t <close> = green.spawn(green.udp_server, sock, function(s, d, ...)
      s:sendto("x", LOCAL, dead)
      s:sendto(d, ...)
    end)
    assert.same({"a", "b"}, asks(port, "a", "b"))
    help.blocked(t)
  end)

  it("raises for what is no socket, no handler or no limit", function()
    local sock <close> = bound()
    for _, bad in ipairs {{1, print}, {sock, 1}, {sock, print, 0},
        {sock, print, "x"}} do
      assert.is_false(pcall(green.udp_server, table.unpack(bad, 1, 3)))
    end
  end)
end)
