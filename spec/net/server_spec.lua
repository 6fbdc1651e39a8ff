-- The promises of green.server.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"

local LOCAL <const> = "127.0.0.1:0"

local function echo(conn)
  for line in conn:lines() do conn:send(line .. "\n") end
end

--- A server that has started, and the port of its first listener.
local function started(opts)
  opts.listen = opts.listen or LOCAL
  opts.handler = opts.handler or echo
  local server = green.server(opts)
  assert(server:start())
  return server, server:addresses()[1].port
end

local function connect(port)
  local conn = assert(green.connect("127.0.0.1", port))
  conn:settimeout(10)
  return conn
end

--- What the peer sees after a line.
local function ask(conn, text)
  conn:send(text .. "\n")
  local line, err = conn:receive()
  return line, err
end

local function closed_or_reset(line, err)
  return line == nil and (err == "closed" or err == "connection reset by peer")
end

describe("a server", function()
  help.both(it, "serves all its listeners, until it is stopped", function()
    local path = os.tmpname()
    os.remove(path)
    local own = assert(green.listen("127.0.0.1", 0))
    local server <close> = started {listen = {LOCAL, "unix:" .. path, own}}
    local addresses = server:addresses()
    assert.equal(path, addresses[2].host)
    local a <close> = connect(addresses[1].port)
    local b <close> = assert(green.connect("unix:" .. path))
    local c <close> = connect(addresses[3].port)
    for _, conn in ipairs {a, b, c} do assert.equal("x", ask(conn, "x")) end
    assert.equal(3, server:stats().connections)
    assert.same({nil, "timeout"}, {server:wait(0)})
    local report = server:stop {grace = 0}
    assert.equal(3, report.accepted)
    assert.equal(3, #report.forced)
    assert.equal("socket:receive", report.forced[1].what)
    assert.is_string(report.forced[1].where)
    assert.same({}, report.left)
    assert.is_true(server:wait())
    assert.is_true(closed_or_reset(a:receive()))
    assert.is_nil(green.connect("127.0.0.1", addresses[1].port))
    assert.is_nil((own:getsockname()))
  end)

  it("opens all of its listeners, or none", function()
    local taken <close> = assert(green.listen("127.0.0.1", 0))
    local _, port = taken:getsockname()
    local free = assert(green.listen("127.0.0.1", 0))
    local _, other = free:getsockname()
    free:close()
    local server = green.server {handler = echo,
      listen = {"127.0.0.1:" .. other, "127.0.0.1:" .. port}}
    assert.same({nil, "address already in use"}, {server:start()})
    assert.is_nil(green.connect("127.0.0.1", other))
    taken:close()
    assert.is_true(server:start())
    assert.is_false(pcall(server.start, server))
    server:stop {grace = 0}
  end)

  it("tells the handler who the peer is", function()
    local seen
    local server <close>, port = started {handler = function(_, peer)
      seen = peer
    end}
    local conn <close> = connect(port)
    conn:receive()
    local _, mine = conn:getsockname()
    assert.same({host = "127.0.0.1", port = mine, family = "inet"}, seen)
    assert.equal(1, server:stats().accepted)
  end)

  it("sends errors of handlers to on_error, and goes on", function()
    local errors = help.collecting(function()
      local server <close>, port = started {handler = function(conn)
        if conn:receive() == "bad" then error("on purpose", 0) end
        conn:send "good\n"
      end}
      local a <close> = connect(port)
      assert.is_true(closed_or_reset(ask(a, "bad")))
      local b <close> = connect(port)
      assert.equal("good", ask(b, "fine"))
      assert.equal(2, server:stats().accepted)
    end)
    assert.equal(1, #errors)
    assert.equal("on purpose", errors[1].err)
  end)

  describe("counts a peer's connections down when the handler", function()
    local thread

    local function waits() green.sleep(60) end

    --- What a handler does, and then others to its thread.
    local ends = {
      ["returns"] = {function() end},
      ["raises"] = {function() error("on purpose", 0) end},
      ["raises nil"] = {function() error() end},
      ["closes the connection"] = {function(conn) conn:close() end},
      ["is killed"] = {waits, function() thread:kill() end},
      ["is struck"] = {waits, function() thread:throw "x" end},
      ["goes on after a kill"] = {function()
        while true do pcall(green.sleep, 60) end
      end, function() thread:kill() end},
    }

    local function try(ending, strike)
      local over = false
      local server <close>, port = started {per_peer = 1, handler = function(c)
        if over then return echo(c) end
        thread = green.current()
        ending(c)
      end}
      local first = connect(port)
      help.wait_until(function() return server:stats().accepted == 1 end)
      if strike then help.blocked(thread) strike() end
      over = true
      help.wait_until(function() return server:stats().connections == 0 end)
      local second <close> = connect(port)
      assert.equal("x", ask(second, "x"))
      assert.equal(0, server:stats().over_peer)
      first:close()
    end

    for name, steps in pairs(ends) do
      help.both(it, name, function()
        help.collecting(function()
          help.with_config({grace = 0.001}, try, steps[1], steps[2])
        end)
      end)
    end

    it("is a coroutine that others close", function()
      help.with_config({keep_stacks = 0}, function()
        local co
        try(function()
          co = coroutine.running()
          waits()
        end, function() assert.is_true(coroutine.close(co)) end)
      end)
    end)
  end)

  describe("has limits", function()
    it("for all connections: more wait", function()
      local server <close>, port = started {n = 2}
      local a <close> = connect(port)
      local b <close> = connect(port)
      local c <close> = connect(port)
      assert.equal("x", ask(a, "x"))
      assert.equal("x", ask(b, "x"))
      c:send "x\n"
      c:settimeout(0.01)
      assert.same({nil, "timeout", ""}, {c:receive()})
      assert.equal(2, server:stats().connections)
      a:close()
      c:settimeout(10)
      assert.equal("x", (c:receive()))
    end)

    it("for each peer: more are reset", function()
      local server <close>, port = started {per_peer = 2}
      local a <close> = connect(port)
      local b <close> = connect(port)
      assert.equal("x", ask(a, "x"))
      assert.equal("x", ask(b, "x"))
      local c <close> = connect(port)
      assert.is_true(closed_or_reset(ask(c, "x")))
      assert.equal(1, server:stats().over_peer)
      a:close()
      help.wait_until(function() return server:stats().connections == 1 end)
      local d <close> = connect(port)
      assert.equal("x", ask(d, "x"))
    end)

    it("for peers that say nothing", function()
      local server <close>, port = started {idle = 1}
      local began = green.now() -- the server may accept before connect returns
      local quiet <close> = connect(port)
      local busy <close> = connect(port)
      local over = false
      local talk = green.spawn(function()
        while not over do
          assert.equal("x", ask(busy, "x"))
          green.sleep(0.005)
        end
      end)
      assert.is_true(closed_or_reset(quiet:receive()))
      assert.is_true(green.now() - began >= 1)
      over = true
      talk:wait()
      assert.equal(1, server:stats().idle)
    end)

    it("for peers that take nothing", function()
      local server <close>, port = started {idle = 0.05,
        handler = function(conn)
          repeat until not conn:send(("x"):rep(1 << 20))
        end}
      local lazy <close> = connect(port)
      help.wait_until(function() return server:stats().idle == 1 end)
      help.wait_until(function() return server:stats().connections == 0 end)
      assert.is_string(lazy:recv(10))
    end)

    it("not for peers whose handlers are at work elsewhere", function()
      local done = green.event()
      local server <close>, port = started {idle = 0.02,
        handler = function(conn)
          conn:receive()
          done:wait()
          conn:send "answer\n"
        end}
      local conn <close> = connect(port)
      local t = green.spawn(ask, conn, "question")
      help.after(0.1)
      assert.equal(0, server:stats().idle)
      done:send()
      assert.equal("answer", t:wait())
    end)

    it("and counts what comes in the midst of a long message", function()
      local server <close>, port = started {idle = 1,
        handler = function(conn)
          conn:send((conn:receive(20) or "none") .. "\n")
        end}
      local conn <close> = connect(port)
      for i = 1, 20 do
        conn:send(tostring(i % 10))
        green.sleep(0.075)
      end
      assert.equal("12345678901234567890", (conn:receive()))
      assert.equal(0, server:stats().idle)
    end)
  end)

  describe("is stopped", function()
    it("with time for its handlers to end", function()
      local gate = green.event()
      local server <close>, port = started {handler = function(conn)
        gate:wait()
        conn:send "done\n"
      end}
      local conn <close> = connect(port)
      help.wait_until(function() return server:stats().connections == 1 end)
      local t = help.blocked(green.spawn(server.stop, server, {grace = 60}))
      assert.is_nil(green.connect("127.0.0.1", port))
      gate:send()
      assert.equal("done", (conn:receive()))
      assert.same({}, t:wait().forced)
    end)

    it("once: who calls again waits for the same end, and may hurry", function()
      local server <close>, port = started {}
      local conn <close> = connect(port)
      assert.equal("x", ask(conn, "x"))
      local first = help.blocked(green.spawn(server.stop, server,
        {grace = 60}))
      local killed = help.blocked(green.spawn(server.stop, server))
      killed:kill()
      killed:join()
      local waits = help.blocked(green.spawn(server.wait, server))
      local report = server:stop {grace = 0}
      assert.equal(report, first:wait())
      assert.equal(report, server:stop())
      assert.is_true(waits:wait())
      assert.equal(1, #report.forced)
    end)

    it("and resets what even a kill does not end", function()
      local gate = green.event()
      local server <close>, port = started {handler = function(conn)
        conn:send "ready\n"
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(60, gate.wait, gate)
        end})
        conn:receive()
      end}
      local conn <close> = connect(port)
      assert.equal("ready", (conn:receive()))
      local report = server:stop {grace = 0, force = 0.01}
      assert.equal(1, #report.left)
      assert.equal("event:wait", report.left[1].what)
      assert.same({nil, "connection reset by peer"}, {conn:recv(1)})
      gate:send()
      help.wait_until(function() return server:stats().connections == 0 end)
    end)

    it("by a handler, which it does not wait for", function()
      local server, port, report
      server, port = started {handler = function(conn)
        conn:receive()
        report = server:stop {grace = 60}
        conn:send "stopped\n"
      end}
      local conn <close> = connect(port)
      assert.equal("stopped", ask(conn, "stop"))
      assert.same({}, report.forced)
      assert.is_true(server:wait())
    end)

    it("when a handler raises StopServe, or its listener is closed", function()
      local server, port = started {handler = function(conn)
        conn:receive()
        error(green.StopServe)
      end}
      local conn <close> = connect(port)
      conn:send "x\n"
      assert.is_true(server:wait())
      local own = assert(green.listen("127.0.0.1", 0))
      server = started {listen = {own}}
      green.sleep(0)
      own:close()
      assert.is_true(server:wait())
    end)

    it("when its block is left", function()
      local conn
      do
        local server <close>, port = started {}
        conn = connect(port)
        assert.equal("x", ask(conn, "x"))
        server:stop {grace = 0}
      end
      assert.is_true(closed_or_reset(conn:receive()))
      local ok, err = pcall(function()
        local server <close>, port = started {}
        conn = connect(port)
        assert.equal("x", ask(conn, "x"))
        assert.is_table(server)
        error("left", 0)
      end)
      assert.same({false, "left"}, {ok, err})
      assert.is_true(closed_or_reset(conn:receive()))
    end)
  end)

  it("survives a lack of descriptors, and peers that reset", function()
    local script <close> = help.file [[
      local green = require "green"
      local server = green.server {listen = "127.0.0.1:0", handler = function(c)
        for line in c:lines() do c:send(line .. "\n") end
      end}
      assert(server:start())
      local port = server:addresses()[1].port
      green.on_error(function() end)
      local held = {}
      for i = 1, 100 do
        local c = green.connect("127.0.0.1", port)
        if not c then break end
        held[#held + 1] = c
        green.sleep(0)
      end
      for i = 1, #held do
        held[i]:send "x"
        held[i]:abort()
      end
      local answer
      for _ = 1, 500 do
        local c = green.connect("127.0.0.1", port)
        if c then
          c:settimeout(5)
          c:send "alive\n"
          answer = c:receive()
          c:close()
        end
        if answer then break end
        green.sleep(0.01)
      end
      print(answer, #held < 100)
      server:stop {grace = 0}
    ]]
    local p = io.popen(("ulimit -n 40; timeout 60 %s %s 2>&1"):format(help.lua,
      script.path))
    assert.matches("alive\ttrue", p:read "a")
    assert.same({true, "exit", 0}, {p:close()})
  end)

  it("raises for what it does not understand", function()
    for _, bad in ipairs {{}, {listen = LOCAL}, {handler = echo},
        {listen = {}, handler = echo}, {listen = {"nonsense"}, handler = echo},
        {listen = LOCAL, handler = 1}, {listen = LOCAL, handler = echo, n = 0},
        {listen = LOCAL, handler = echo, idle = 0},
        {listen = LOCAL, handler = echo, wrong = 1},
        {listen = LOCAL, handler = echo, proxy = "x"}} do
      local ok, err = pcall(green.server, bad)
      assert.is_false(ok)
      if not bad.handler then assert.matches("'handler' is missing", err) end
    end
    assert.is_false(pcall(green.server))
  end)
end)

describe("a PROXY header", function()
  local V2 <const> = "\r\n\r\n\0\r\nQUIT\n"

  local function tells(conn, peer)
    local line = conn:receive()
    conn:send(("%s %s %s %s %s\n"):format(peer.host, peer.port, peer.family,
      peer.via or "-", line))
  end

  local function answer(port, header)
    local conn <close> = connect(port)
    conn:send(header .. "line\n")
    local line, err = conn:receive()
    return line or err
  end

  it("tells the peer behind a proxy", function()
    local server <close>, port = started {proxy = true, handler = tells}
    assert.is_table(server)
    assert.equal("1.2.3.4 11 inet 127.0.0.1 line",
      answer(port, "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n"))
    assert.equal("2001:db8::1 11 inet6 127.0.0.1 line",
      answer(port, "PROXY TCP6 2001:db8::1 ::1 11 22\r\n"))
    assert.equal("1.2.3.4 258 inet 127.0.0.1 line",
      answer(port, V2 .. "\x21\x11\0\x0f\1\2\3\4\5\6\7\8\1\2\0\2\4\0\0"))
    assert.equal("2001::1 1 inet6 127.0.0.1 line",
      answer(port, V2 .. "\x21\x21\0\x24\x20\1" .. ("\0"):rep(13) .. "\1"
        .. ("\0"):rep(16) .. "\0\1\0\2"))
    for _, none in ipairs {"PROXY UNKNOWN\r\n", V2 .. "\x20\0\0\0",
        "PROXY UNKNOWN a b c d\r\n", V2 .. "\x21\x31\0\2ab"} do
      assert.matches("^127.0.0.1 %d+ inet %- line$", answer(port, none))
    end
  end)

  it("that is none, or late, ends the connection", function()
    local server <close>, port = started {proxy = true, handler = tells,
      handshake = 0.05}
    local list = {"GET / HTTP/1.1\r\n", "PROXY TCP4 1.2.3.4\r\n",
      "PROXY TCP4 1.2.3.400 5.6.7.8 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "PROXY " .. ("x"):rep(200),
      V2 .. "\x31\x11\0\0", V2 .. "\x21\x11\xff\xff",
      V2 .. "\x21\x11\0\4abcd", V2 .. "\x22\x11\0\0", "PROXY TC", "",
      V2 .. "\x21\x11\0\xff"}
    for _, header in ipairs(list) do
      local conn <close> = connect(port)
      if header ~= "" then conn:send(header) end
      assert.is_true(closed_or_reset(conn:receive()))
    end
    assert.equal(#list, server:stats().not_introduced)
  end)

  it("is taken from those that may send one", function()
    local a <close>, port = started {proxy = {"127.0.0.1"}, handler = tells}
    local b <close>, other = started {proxy = {"10.0.0.1"}, handler = tells}
    local header = "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n"
    assert.matches("^1.2.3.4", answer(port, header))
    assert.not_matches("^1.2.3.4", answer(other, header))
    assert.equal(0, a:stats().not_introduced)
    assert.equal(1, b:stats().not_introduced)
  end)

  it("counts for the limit of each peer", function()
    local server <close>, port = started {proxy = true, per_peer = 1}
    local a <close> = connect(port)
    a:send "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n"
    assert.equal("x", ask(a, "x"))
    local b <close> = connect(port)
    b:send "PROXY TCP4 1.2.3.5 5.6.7.8 11 22\r\n"
    assert.equal("x", ask(b, "x"))
    local c <close> = connect(port)
    c:send "PROXY TCP4 1.2.3.4 5.6.7.8 11 23\r\n"
    assert.is_true(closed_or_reset(ask(c, "x")))
    assert.equal(1, server:stats().over_peer)
  end)
end)
