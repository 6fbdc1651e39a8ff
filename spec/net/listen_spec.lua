-- The promises of listeners: names, both families, several addresses.
-- SPDX-License-Identifier: MIT
local green = require "green"
local dns = require "green.dns"
local help = require "spec.help"

local IN_USE <const> = "address already in use"

local function has_ipv6()
  local listener = green.listen("::1", 0)
  if listener then listener:close() end
  return listener ~= nil
end

--- Runs f with names that have these addresses.
local function with_names(names, f, ...)
  local former = dns.use(function(name) return names[name], 0 end)
  local _ <close> = setmetatable({}, {__close = function()
    dns.use(former)
  end})
  return f(...)
end

local function port_of(listener)
  return (select(2, listener:getsockname()))
end

--- Two listeners on one port: on the host, and beside it. Another program may
--- have the port there.
local function side_by_side(host, options, beside, its_options)
  for _ = 1, 20 do
    local first = assert(green.listen(host, 0, options))
    local second, err = green.listen(beside, port_of(first), its_options)
    if second then return first, second end
    first:close()
    assert.equal(IN_USE, err)
  end
  error("no port is free in both families")
end

--- A connection to that address, as it is accepted there.
local function through(listener, host)
  local near <close> = assert(green.connect(host, port_of(listener)))
  local far = assert(listener:accept())
  assert(near:send("x"))
  assert.equal("x", far:recv(1))
  return far
end

--- How many sockets are open that are not garbage.
local function sockets()
  collectgarbage()
  collectgarbage()
  local p = io.popen("ls -l /proc/$PPID/fd | grep -c socket:")
  local n = p:read("n")
  p:close()
  return n
end

local TWO <const> = {["two.test"] = {"127.0.0.1", "127.0.0.2"}}

describe("a listener", function()
  it("on all addresses serves both families on one port", function()
    for _, host in ipairs {"*", "::"} do
      if host == "::" and not has_ipv6() then break end
      local listener <close> = assert(green.listen(host, 0))
      through(listener, "127.0.0.1"):close()
      if has_ipv6() then through(listener, "::1"):close() end
      assert.same({nil, IN_USE}, {green.listen("*", port_of(listener))})
    end
  end)

  it("on all addresses of one family leaves the other alone", function()
    if not has_ipv6() then
      local alone <close> = assert(green.listen("*", 0, {family = "inet"}))
      assert.equal("0.0.0.0", (alone:getsockname()))
      return
    end
    local a, b = side_by_side("*", {family = "inet"}, "*", {family = "inet6"})
    local four <close> = a
    local six <close> = b
    assert.equal("0.0.0.0", (four:getsockname()))
    a, b = side_by_side("::", {v6only = true}, "0.0.0.0")
    local only <close> = a
    local beside <close> = b
    assert.equal("::", (only:getsockname()))
    assert.equal("inet", through(four, "127.0.0.1"):getsockname() and "inet")
    assert.equal("::1", (through(six, "::1"):getsockname()))
    assert.equal("127.0.0.1", (through(beside, "127.0.0.1"):getsockname()))
  end)

  it("on a name listens at each of its addresses, on one port", function()
    with_names(TWO, function()
      local listener <close> = assert(green.listen("two.test", 0))
      local port = port_of(listener)
      assert.same({{addr = "127.0.0.1", port = port, family = "inet"},
        {addr = "127.0.0.2", port = port, family = "inet"}},
        listener:getsocknames())
      for _, host in ipairs {"127.0.0.2", "127.0.0.1", "127.0.0.2"} do
        local far <close> = through(listener, host)
        assert.equal(host, (far:getsockname()))
        assert.equal("inet4", far:getfamily())
      end
      assert.same({nil, "connection refused"},
        {green.connect("127.0.0.3", port)})
    end)
  end)

  it("on a name of both families accepts both", function()
    if not has_ipv6() then return pending("no IPv6 here") end
    with_names({["both.test"] = {"127.0.0.1", "::1"}}, function()
      local listener <close> = assert(green.listen("both.test", 0))
      assert.equal(2, #listener:getsocknames())
      for host, family in pairs {["::1"] = "inet6", ["127.0.0.1"] = "inet4"} do
        local far <close> = through(listener, host)
        assert.equal(family, far:getfamily())
      end
      local four <close> = assert(green.listen("both.test", 0,
        {family = "inet"}))
      assert.equal("127.0.0.1", (four:getsockname()))
      assert.equal(1, #four:getsocknames())
    end)
  end)

  it("on a name leaves out what this machine does not have, once only",
    function()
      with_names({["some.test"] = {"192.0.2.1", "127.0.0.1", "127.0.0.1"},
        ["none.test"] = {"192.0.2.1"}}, function()
        local listener <close> = assert(green.listen("some.test", 0))
        assert.equal(1, #listener:getsocknames())
        assert.same({nil, "Cannot assign requested address"},
          {green.listen("none.test", 0)})
      end)
    end)

  it("on a name fails if one of its addresses is in use, and leaves nothing",
    function()
      with_names(TWO, function()
        local a, b = side_by_side("127.0.0.2", nil, "127.0.0.1")
        local other <close>, first = a, b
        first:close()
        local port, before = port_of(other), sockets()
        assert.same({nil, IN_USE}, {green.listen("two.test", port)})
        help.wait_until(function() return sockets() == before end)
      end)
    end)

  it("shares a port at each of its addresses where that is asked for",
    function()
      with_names(TWO, function()
        local reuse <const> = {reuseport = true}
        local one <close> = assert(green.listen("two.test", 0, reuse))
        local two <close> = assert(green.listen("two.test", port_of(one),
          reuse))
        assert.same(one:getsocknames(), two:getsocknames())
        assert.same({nil, IN_USE}, {green.listen("two.test", port_of(one))})
      end)
    end)

  it("at several addresses has the options of all set", function()
    with_names(TWO, function()
      local listener <close> = assert(green.listen("two.test", 0))
      assert.equal(1, listener:setoption("keepalive", true))
      assert.is_true(listener:getoption("keepalive"))
      for _, host in ipairs {"127.0.0.1", "127.0.0.2"} do
        local far <close> = through(listener, host)
        assert.is_true(far:getoption("keepalive"))
      end
    end)
  end)

  it("at several addresses is closed at all of them, and wakes who waits",
    function()
      with_names(TWO, function()
        local before = sockets()
        local listener = assert(green.listen("two.test", 0))
        local port = port_of(listener)
        local t = help.blocked(green.spawn(listener.accept, listener))
        listener:close()
        assert.same({nil, "closed"}, {t:wait()})
        assert.same({nil, "closed"}, {listener:getsocknames()})
        help.wait_until(function() return sockets() == before end)
        for _, host in ipairs {"127.0.0.1", "127.0.0.2"} do
          assert.same({nil, "connection refused"}, {green.connect(host, port)})
        end
        listener = green.listen("two.test", 0)
        listener:setfd(-1)
        help.wait_until(function() return sockets() == before end)
      end)
    end)

  it("at several addresses serves them in turn", function()
    with_names(TWO, function()
      local listener <close> = assert(green.listen("two.test", 0))
      local conns, order = {}, {}
      for i, host in ipairs {"127.0.0.1", "127.0.0.1", "127.0.0.2",
        "127.0.0.2"} do
        conns[i] = assert(green.connect(host, port_of(listener)))
      end
      for i = 1, #conns do
        order[i] = assert(listener:accept()):getsockname()
      end
      assert.same({"127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"}, order)
    end)
  end)

  it("at several addresses can be served and selected", function()
    with_names(TWO, function()
      local listener <close> = assert(green.listen("two.test", 0))
      local port = port_of(listener)
      local t = help.blocked(green.spawn(green.select, {listener}))
      local near <close> = assert(green.connect("127.0.0.2", port))
      local at, far = t:wait()
      assert.equal(1, at)
      assert.equal("127.0.0.2", (far:getsockname()))
      local server = green.spawn(green.serve, listener, function(conn)
        conn:send((conn:getsockname()))
        error(green.StopServe)
      end)
      local last <close> = assert(green.connect("127.0.0.1", port))
      assert.equal("127.0.0.1", last:recv(100))
      assert.is_true(server:wait())
      assert(near)
    end)
  end)

  it("of a backdoor is looked at with all its addresses", function()
    if not has_ipv6() then return pending("no IPv6 here") end
    with_names({["own.test"] = {"127.0.0.1", "::"}}, function()
      local listener <close> = assert(green.listen("own.test", 0,
        {v6only = true}))
      assert.equal(2, #listener:getsocknames())
      assert.error_matches(function() green.backdoor.server(listener) end,
        "a backdoor on :: is open to other machines")
    end)
    with_names({["safe.test"] = {"127.0.0.1", "::1"}}, function()
      local listener <close> = assert(green.listen("safe.test", 0))
      local t = help.blocked(green.spawn(green.backdoor.server, listener))
      listener:close()
      assert.is_true(t:wait())
    end)
  end)

  it("waits for the look-up of its name alone, and stops when it is killed",
    function()
      local gate = green.event()
      local former = dns.use(function()
        gate:wait()
        return {"127.0.0.1"}
      end)
      local t = help.blocked(green.spawn(green.listen, "slow.test", 0))
      assert(green.listen("127.0.0.1", 0)):close()
      t:kill()
      assert.is_false((t:join()))
      t = help.blocked(green.spawn(green.listen, "slow.test", 0))
      gate:send()
      assert(t:wait()):close()
      dns.use(former)
    end)
end)
