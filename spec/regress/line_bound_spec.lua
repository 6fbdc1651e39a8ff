-- A client that sent no line end took as much memory as it liked: a line had no
-- bound, and nothing counted the bytes that sockets buffer.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local LONG <const> = "line too long"

local function pair()
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local near = assert(green.connect("127.0.0.1",
    (select(2, listener:getsockname()))))
  return near, assert(listener:accept())
end

describe("a line has a bound", function()
  it("of 1 MB where a client sends it, and of 64 MB else", function()
    local near, far <close> = pair()
    assert.equal(1 << 20, far:getoption("max-line"))
    assert.equal(64 << 20, near:getoption("max-line"))
    green.spawn_n(near.send, near, ("x"):rep(2 << 20))
    assert.same({nil, LONG, ""}, {far:receive()})
    assert.is_true(green.stats().buffered <= 3 << 20)
  end)

  it("which is met by a line just as long", function()
    local near, far <close> = pair()
    local text = ("x"):rep(1 << 20)
    green.spawn_n(near.send, near, text .. "\n" .. text .. "x\n")
    assert.equal(text, far:receive())
    assert.same({nil, LONG, ""}, {far:receive("L")})
  end)

  it("that a socket may have of its own, and config for all", function()
    local near, far <close> = pair()
    assert.equal(1, far:setoption("max-line", 10))
    near:send("0123456789\n0123456789a\n")
    assert.equal("0123456789", far:receive())
    assert.same({nil, LONG, "prefix"}, {far:receive("*l", "prefix")})
    far:setoption("max-line", 0)
    assert.equal("0123456789a", far:receive())
    help.with_config({max_line = 3, max_client_line = 4}, function()
      local client, server <close> = pair()
      assert.same({3, 4}, {client:getoption("max-line"),
        server:getoption("max-line")})
    end)
    assert.error_matches(function() far:setoption("max-line", -1) end,
      "bad argument #2 to 'setoption'")
  end)

  it("that one call may have of its own", function()
    local near, far <close> = pair()
    near:send "0123456789\n0123456789\nab\n"
    assert.same({nil, LONG, "prefix"}, {far:receive("l", "prefix", 9)})
    assert.equal("prefix0123456789", far:receive("l", "prefix", 10))
    far:setoption("max-line", 5)
    assert.same({nil, LONG, ""}, {far:receive("L", nil, nil)})
    assert.equal("0123456789\n", far:receive("L", nil, 0))
    assert.equal("ab", far:receive(nil, nil, 2))
    local t = help.blocked(green.spawn(far.receive, far, "l", nil, 3))
    near:send "abcd"
    assert.same({nil, LONG, ""}, {t:wait()})
    assert.error_matches(function() far:receive("l", nil, -1) end,
      "bad argument #3 to 'receive' %(0 or more expected")
    assert.error_matches(function() far:receive("a", nil, 1) end,
      "bad argument #3 to 'receive' %(only a line has a bound")
    assert.error_matches(function() far:receive(1, nil, 1) end,
      "only a line has a bound")
    near:send "\n"
    assert.equal("abcd", far:receive())
  end)

  it("which LuaSocket's receive does not know", function()
    local listener = assert(green.socket.bind("127.0.0.1", 0))
    local near = assert(green.socket.connect("127.0.0.1",
      (select(2, listener:getsockname()))))
    local far = assert(listener:accept())
    near:send "0123456789\n"
    assert.equal("0123456789", far:receive("*l", "", 1))
    for _, sock in ipairs {listener, near, far} do sock:close() end
  end)

  it("beyond which nothing is lost", function()
    local near, far <close> = pair()
    far:setoption("max-line", 100)
    near:send(("x"):rep(150))
    assert.same({nil, LONG, ""}, {far:receive()})
    assert.same({nil, LONG, ""}, {far:receive()})
    assert.equal(("x"):rep(120), far:receive(120))
    near:send("\n")
    assert.equal(("x"):rep(30), far:receive())
  end)

  it("that ends lines() with an error", function()
    local near, far <close> = pair()
    far:setoption("max-line", 5)
    near:send("short\ntoo long\n")
    local lines = {}
    assert.error_matches(function()
      for line in far:lines() do lines[#lines + 1] = line end
    end, LONG)
    assert.same({"short"}, lines)
  end)

  it("while bytes and all have none but memory", function()
    local near, far <close> = pair()
    far:setoption("max-line", 5)
    near:send(("x"):rep(2000))
    assert.equal(1000, #far:receive(1000))
    near:close()
    assert.equal(1000, #far:receive("*a"))
  end)
end)

describe("what sockets buffer", function()
  it("is counted, and no more than they hold", function()
    collectgarbage()
    local before = green.stats().buffered
    local ends = {}
    for i = 1, 20 do
      local near, far = pair()
      ends[i] = {near, far}
      near:send("half a line")
      far:settimeout(0.001)
      far:setoption("max-line", 5)
      assert.same({nil, LONG, ""}, {far:receive()})
    end
    assert.equal(20 * #"half a line", green.stats().buffered - before)
    for _, e in ipairs(ends) do
      assert.equal("half a line", e[2]:recv(100))
      e[1]:close()
      e[2]:close()
    end
    assert.equal(0, green.stats().buffered - before)
  end)

  it("moves between them and comes out whole", function()
    local ends = {}
    for i = 1, 10 do ends[i] = {pair()} end
    local got = {}
    for round = 1, 50 do
      for i, e in ipairs(ends) do
        e[1]:send(("%d:%d "):format(i, round):rep(round * 20)
          .. (round % 7 == i % 7 and "\n" or ""))
        e[2]:settimeout(0)
        got[i] = got[i] or {}
        local line, _, partial = e[2]:receive("L")
        table.insert(got[i], line or partial)
        local data = e[2]:recv(1 + (round * 37 + i) % 700)
        table.insert(got[i], data)
      end
    end
    for i, e in ipairs(ends) do
      e[1]:close()
      e[2]:settimeout()
      table.insert(got[i], (e[2]:receive("*a")))
      local sent = {}
      for round = 1, 50 do
        sent[round] = ("%d:%d "):format(i, round):rep(round * 20)
          .. (round % 7 == i % 7 and "\n" or "")
      end
      assert.is_true(table.concat(sent) == table.concat(got[i]))
    end
  end)
end)
