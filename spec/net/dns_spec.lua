-- The promises of look-ups, and of a program's own resolver.
-- SPDX-License-Identifier: MIT
local green = require "green"
local dns = require "green.dns"
local help = require "spec.help"
local it = require "green.test".it(it)

local UNKNOWN <const> = "host or service not provided, or not known"
local AGAIN <const> = "temporary failure in name resolution"

--- Runs body(calls, ...) with a resolver that counts its calls by name.
local function with_resolver(f, body, ...)
  local calls = setmetatable({}, {__index = function() return 0 end})
  local former = dns.use(function(name, family)
    calls[name] = calls[name] + 1
    return f(name, family)
  end)
  local _ <close> = setmetatable({}, {__close = function()
    dns.use(former)
  end})
  body(calls, ...)
end

--- A listener on the loopback, and its port.
local function listening(host)
  local listener = assert(green.listen(host or "127.0.0.1", 0))
  return listener, (select(2, listener:getsockname()))
end

--- A resolver that waits until its gate is opened.
local function gated(...)
  local gate, answer = green.event(), table.pack(...)
  return gate, function()
    gate:wait()
    return table.unpack(answer, 1, answer.n)
  end
end

describe("look-ups", function()
  it("give the addresses of a name, and a number for itself", function()
    assert.same({"127.0.0.1"}, dns.resolve("localhost", {family = "inet"}))
    assert.same({"127.0.0.1"}, dns.resolve("127.0.0.1"))
    assert.same({"::1"}, dns.resolve("0:0:0:0:0:0:0:1"))
    assert.same({nil, "Address family for hostname not supported"},
      {dns.resolve("127.0.0.1", {family = "inet6"})})
  end)

  it("answer numbers at once, and names not at a limit of 0", function()
    dns.flush()
    local switches = green.stats().switches
    assert.same({"127.0.0.1"}, dns.resolve("127.0.0.1", 0))
    assert.same({nil, "timeout"}, {dns.resolve("localhost", 0)})
    assert.same({"10.1.2.3"}, dns.resolve("10.1.2.3"))
    assert.equal(switches, green.stats().switches)
  end)

  it("are kept, and answered at once then, until they are forgotten",
    function()
      dns.flush()
      local found = assert(dns.resolve("localhost"))
      assert.same(found, dns.resolve("localhost", 0))
      dns.flush()
      assert.same({nil, "timeout"}, {dns.resolve("localhost", 0)})
      help.with_config({dns_cache = 0}, function()
        assert(dns.resolve "localhost")
        assert.same({nil, "timeout"}, {dns.resolve("localhost", 0)})
      end)
    end)

  it("say what is no name", function()
    for _, name in ipairs {"", ("x"):rep(256), "local\0host"} do
      assert.same({nil, UNKNOWN}, {dns.resolve(name)})
    end
    assert.same({nil, UNKNOWN}, {dns.getaddrinfo("localhost", nil,
      {numeric = true})})
    assert.same({nil, UNKNOWN}, {dns.getaddrinfo()})
  end)

  it("give all that getaddrinfo(3) gives", function()
    assert.same({{family = "inet", addr = "127.0.0.1", port = 80,
      type = "stream"}}, dns.getaddrinfo("127.0.0.1", 80))
    assert.same({{family = "inet6", addr = "::1", port = 53, type = "dgram"}},
      dns.getaddrinfo("::1", "53", {type = "dgram"}))
    assert.equal(3, #dns.getaddrinfo("127.0.0.1", 1, {type = "any"}))
    local entry = dns.getaddrinfo("localhost", 1, {canonname = true})[1]
    assert.equal("string", type(entry.canonname))
    local any = dns.getaddrinfo(nil, 9, {passive = true, family = "inet"})
    assert.equal("0.0.0.0", any[1].addr)
    local this = dns.getaddrinfo(nil, 9, {family = "inet"})
    assert.equal("127.0.0.1", this[1].addr)
  end)

  it("find names of addresses and ports", function()
    assert.same({"127.0.0.1", "1"},
      {dns.getnameinfo("127.0.0.1", 1, {numeric = true})})
    assert.equal("string", type(dns.getnameinfo("127.0.0.1")))
    assert.same({nil, "1"}, {dns.getnameinfo(nil, 1, {numeric = true})})
    assert.same({nil, UNKNOWN}, {dns.getnameinfo("no number")})
    assert.same({nil, "timeout"}, {dns.getnameinfo("127.0.0.77", nil, 0)})
  end)

  it("raise for misuse, naming the function and the argument", function()
    for text, f in pairs {
      ["bad argument #1 to 'resolve' %(string expected, got nil%)"] =
        function() dns.resolve() end,
      ["bad argument #2 to 'resolve' %(number expected, got boolean%)"] =
        function() dns.resolve("a", true) end,
      ["unknown option 'famly' in 'resolve'"] =
        function() dns.resolve("a", {famly = "inet"}) end,
      ["bad argument #2 to 'getaddrinfo' %(port out of range%)"] =
        function() dns.getaddrinfo("a", 65536) end,
      ["bad argument #3 to 'getaddrinfo' %(unknown type 'seq'%)"] =
        function() dns.getaddrinfo("a", 1, {type = "seq"}) end,
      ["bad argument #2 to 'getnameinfo' %(port or service expected"] =
        function() dns.getnameinfo("::1", {}) end,
      ["bad argument #1 to 'use' %(function expected, got number%)"] =
        function() dns.use(1) end,
      ["bad value for 'resolver' in 'config' %(function expected%)"] =
        function() green.config {resolver = 1} end,
      ["bad value for 'dns_ttl' in 'config' %(seconds expected%)"] =
        function() green.config {dns_ttl = -1} end,
    } do
      assert.error_matches(f, text)
    end
  end)
end)

describe("a resolver of one's own", function()
  it("is asked by every call that takes a name, and not for numbers",
    function()
      with_resolver(function() return {"127.0.0.1"} end, function(calls)
        local listener <close>, port = listening("here.test")
        assert.equal("127.0.0.1", (listener:getsockname()))
        assert(green.connect("there.test", port)):close()
        assert(green.connect("127.0.0.1", port)):close()
        local sock <close> = green.socket.tcp()
        assert(sock:bind("own.test", 0))
        assert(sock:connect("peer.test", port))
        assert.same({"127.0.0.1"}, dns.resolve("name.test"))
        assert.same({{family = "inet", addr = "127.0.0.1", port = 7,
          type = "stream"}}, dns.getaddrinfo("info.test", 7))
        for _, name in ipairs {"here.test", "there.test", "own.test",
          "peer.test", "name.test", "info.test"} do
          assert.equal(1, calls[name], name)
        end
        assert.equal(0, calls["127.0.0.1"])
      end)
    end)

  it("can be set by green.config, and is told by it", function()
    local f = function() return {"10.0.0.1"} end
    assert.is_false(green.config().resolver)
    green.config {resolver = f}
    assert.equal(f, green.config().resolver)
    assert.same({"10.0.0.1"}, dns.resolve "a.test")
    assert.equal(f, dns.use(nil))
    assert.is_false(green.config {resolver = false}.resolver)
    assert.equal(dns.system, dns.use(nil))
  end)

  it("may answer by tables, and in any order: IPv6 is tried first", function()
    local values = {"10.0.0.1", {addr = "::1"}, "10.0.0.2", "fe80::1"}
    with_resolver(function() return values end, function()
      assert.same({"::1", "fe80::1", "10.0.0.1", "10.0.0.2"},
        dns.resolve "a.test")
      assert.same({"10.0.0.1", "10.0.0.2"},
        dns.resolve("a.test", {family = "inet"}))
      assert.same({"::1", "fe80::1"},
        dns.resolve("a.test", {family = "inet6"}))
    end)
  end)

  it("is told which family is wanted", function()
    local told = {}
    with_resolver(function(name, family) told[name] = family or "any" end,
      function()
        dns.resolve "a"
        dns.resolve("b", {family = "inet4"})
        dns.resolve("c", {family = "inet6"})
        assert.same({a = "any", b = "inet", c = "inet6"}, told)
      end)
  end)

  it("says why it has no answer, in its own words", function()
    local answers = {none = {nil}, empty = {{}}, why = {nil, "not today"},
      no = {false, "no"}}
    with_resolver(function(name) return table.unpack(answers[name], 1, 2) end,
      function()
        assert.same({nil, UNKNOWN}, {dns.resolve "none"})
        assert.same({nil, UNKNOWN}, {dns.resolve "empty"})
        assert.same({nil, "not today"}, {green.connect("why", 1)})
        assert.same({nil, "not today"}, {green.listen("why", 1)})
        assert.same({nil, "no"}, {dns.resolve "no"})
      end)
  end)

  it("raises its errors in the calls that wait for it", function()
    local err = setmetatable({}, {__tostring = function() return "mine" end})
    with_resolver(function(name)
      if name == "fails" then error(err) end
      return name == "text" and "10.0.0.1" or {"not an address"}
    end, function()
      local ok, raised = pcall(green.connect, "fails", 1)
      assert.is_false(ok)
      assert.equal(err, raised)
      assert.error_matches(function() dns.resolve "text" end,
        "the resolver's answer for text is a string, and no list of addresses")
      assert.error_matches(function() dns.resolve "other" end,
        'the resolver\'s answer for other holds "not an address"')
    end)
  end)

  it("is run once for all that ask for the same", function()
    local gate, f = gated({"10.0.0.1"})
    with_resolver(f, function(calls)
      local threads = {}
      for i = 1, 50 do threads[i] = green.spawn(dns.resolve, "same.test") end
      help.blocked(table.unpack(threads))
      gate:send()
      for _, t in ipairs(threads) do assert.same({"10.0.0.1"}, t:wait()) end
      assert.equal(1, calls["same.test"])
    end)
  end)

  it("goes on while one caller waits, and ends with the last", function()
    local gate, f = gated({"10.0.0.1"})
    local ended = 0
    with_resolver(function()
      local _ <close> = setmetatable({}, {__close = function()
        ended = ended + 1
      end})
      return f()
    end, function()
      local a = help.blocked(green.spawn(dns.resolve, "x"))
      local b = help.blocked(green.spawn(dns.resolve, "x"))
      a:kill()
      a:join()
      assert.same({nil, "timeout"}, {dns.resolve("x", 0.01)})
      assert.equal(0, ended)
      b:kill()
      b:join()
      help.wait_until(function() return ended == 1 end)
      gate:send()
      assert.same({"10.0.0.1"}, dns.resolve "x")
    end)
  end)

  it("goes on while callers come and go", function()
    local _, f = gated()
    local ended = 0
    with_resolver(function()
      local _ <close> = setmetatable({}, {__close = function()
        ended = ended + 1
      end})
      return f()
    end, function(calls)
      local a = help.blocked(green.spawn(dns.resolve, "x"))
      local b = help.blocked(green.spawn(green.connect, "x", 1))
      a:kill()
      help.ended(a)
      local c = help.blocked(green.spawn(dns.resolve, "x"))
      b:throw("x")
      help.ended(b)
      help.blocked(c)
      help.wait_until(function() return calls.x > 0 end)
      assert.same({1, 0}, {calls.x, ended})
      c:kill()
      help.wait_until(function() return ended == 1 end)
    end)
  end)

  it("that is killed leaves its callers without an answer", function()
    local _, f = gated()
    with_resolver(function() return f() end, function()
      local caller = help.blocked(green.spawn(dns.resolve, "x"))
      for _, t in ipairs(green.threads()) do
        if (t.name or ""):find "^resolver" then t:kill() end
      end
      assert.same({nil, AGAIN}, {caller:wait()})
    end)
  end)

  it("is covered by limits and scopes", function()
    local _, f = gated()
    with_resolver(function() return f() end, function()
      local began = green.now()
      assert.same({nil, "timeout"}, {green.connect("x", 1, {timeout = 0.5})})
      assert.same({nil, "timeout"}, {green.with_timeout(0.5, green.connect,
        "x", 1)})
      assert.same({nil, "timeout"}, {green.with_timeout(0.5, green.listen,
        "x", 1)})
      local took = green.now() - began
      assert.is_true(took >= 1.5 and took < 1.6, tostring(took))
    end)
  end)

  it("asks the system when it looks a name up itself, in its children too",
    function()
      local former
      with_resolver(function(name, family)
        if name == "by.child" then
          return green.spawn(dns.resolve, "localhost", {family = "inet"}):wait()
        elseif name == "by.former" then
          return former("localhost", family or "inet")
        end
        return dns.resolve("localhost", {family = "inet"})
      end, function(calls)
        former = dns.system
        for _, name in ipairs {"by.child", "by.former", "localhost"} do
          assert.same({"127.0.0.1"}, dns.resolve(name))
          assert.equal(1, calls[name])
        end
      end)
    end)

  it("has its answers kept, for as long as it says", function()
    local answers = {
      usual = {{"10.0.0.1"}}, long = {{"10.0.0.1"}, 100},
      never = {{"10.0.0.1"}, 0}, unknown = {nil}, failed = {nil, "in a moment"},
      gone = {nil, "for good", 100},
    }
    with_resolver(function(name) return table.unpack(answers[name], 1, 3) end,
      function(calls)
        local function ask()
          for name in pairs(answers) do dns.resolve(name) end
          local so_far = {}
          for name in pairs(answers) do so_far[name] = calls[name] end
          return so_far
        end
        ask()
        assert.same({usual = 1, long = 1, never = 2, unknown = 1, failed = 2,
          gone = 1}, ask())
        green.sleep(1.01)
        assert.same({usual = 1, long = 1, never = 3, unknown = 2, failed = 3,
          gone = 1}, ask())
        green.sleep(5)
        assert.same({usual = 2, long = 1, never = 4, unknown = 3, failed = 4,
          gone = 1}, ask())
        dns.flush()
        assert.same({usual = 3, long = 2, never = 5, unknown = 4, failed = 5,
          gone = 2}, ask())
      end)
  end)

  it("has no more answers kept than allowed, and none where that is off",
    function()
      with_resolver(function() return {"10.0.0.1"}, 1000 end, function(calls)
        help.with_config({dns_cache = 10}, function()
          for i = 1, 100 do dns.resolve("n" .. i) end
          local kept = 0
          for i = 1, 100 do
            if dns.resolve("n" .. i, 0) then kept = kept + 1 end
          end
          assert.is_true(kept >= 5 and kept <= 10, tostring(kept))
        end)
        dns.flush()
        help.with_config({dns_cache = 0}, function()
          dns.resolve "off"
          dns.resolve "off"
          assert.equal(2, calls.off)
        end)
      end)
    end)

  it("is forgotten with its answers when another takes its place", function()
    local gate, f = gated({"10.0.0.1"})
    with_resolver(f, function()
      local t = help.blocked(green.spawn(dns.resolve, "x"))
      with_resolver(function() return {"10.0.0.2"} end, function()
        assert.same({"10.0.0.2"}, dns.resolve "x")
        gate:send()
        assert.same({"10.0.0.1"}, t:wait())
        assert.same({"10.0.0.2"}, dns.resolve "x")
      end)
      assert.same({"10.0.0.1"}, dns.resolve "x")
    end)
  end)
end)
