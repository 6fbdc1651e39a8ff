-- Sockets among the things that a thread selects from.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"
local it = test.it(it)

local blocked = test.blocked
local selecting, filled = help.selecting, help.filled

--- A listener, and a function that connects to it and returns both ends.
local function network()
  local l = assert(green.listen("127.0.0.1", 0))
  local _, port = l:getsockname()
  local function connect() return assert(green.connect("127.0.0.1", port)) end
  return l, connect, function()
    local c = connect()
    return c, assert(l:accept())
  end
end

describe("select of sockets", function()
  it("accepts, and only then takes the connection", function()
    local l <close>, connect = network()
    local q = green.queue()
    local t = selecting {q, l}
    local c <close> = connect()
    local i, s = t:wait()
    assert.equal(2, i)
    assert.equal("tcp{client}", green.type(s))
    assert(c:send "hello\n")
    assert.equal("hello", s:receive())
    s:close()
    local d <close> = connect()
    q:put(1)
    green.sleep(0.01)
    assert.equal(1, (green.select {q, l}))
    local e <close> = assert(l:accept()) -- it was left in place
    assert.truthy(e and d)
  end)

  it("tells that a connection is readable, and takes no byte", function()
    local l <close>, _, both = network()
    local c, s = both()
    local e = green.event()
    assert.same({nil, "timeout"}, {green.select({s, e}, 0)})
    local t = selecting {e, s}
    c:send "ab\ncd"
    assert.same({2, true}, {t:wait()})
    assert.equal("ab", s:receive())
    assert.same({1, true}, {green.select {s}}) -- the rest in the buffer
    assert.equal("cd", s:receive(2))
    c:close()
    assert.same({2, true}, {green.select {e, s}}) -- the end can be read
    assert.same({nil, "closed", ""}, {s:receive()})
    assert.truthy(l)
  end)

  it("gives up a socket for something else, whose reader is free again",
    function()
      local l <close>, _, both = network()
      local c, s = both()
      local q = green.queue()
      local t = selecting {s, q}
      q:put(1)
      assert.equal(2, (t:wait()))
      t = blocked(green.spawn(s.receive, s, 2))
      c:send "xy"
      assert.equal("xy", t:wait())
      assert.same({nil, "timeout"}, {green.select({s, l}, 0.01)})
    end)

  it("returns closed for one that is closed meanwhile, or was before",
    function()
      local l, _, both = network()
      local c <close>, s = both()
      local t, u = selecting {s}, selecting {green.queue(), l}
      s:close()
      l:close()
      assert.same({1, nil, "closed"}, {t:wait()})
      assert.same({2, nil, "closed"}, {u:wait()})
      assert.same({1, nil, "closed"}, {green.select {s}})
      assert.same({1, nil, "closed"}, {green.select({l}, 0)})
      assert.truthy(c)
    end)

  it("listed twice goes on as the first of them", function()
    local l <close>, connect, both = network()
    local c, s = both()
    local t = selecting {s, s, l, l}
    c:send "x"
    assert.same({1, true}, {t:wait()})
    s:receive(1)
    t = selecting {s, l, l, s}
    local d <close> = connect()
    local i, e = t:wait()
    assert.equal(2, i)
    e:close()
    assert.same({nil, "timeout"}, {green.select({s, l, s, l}, 0.01)})
    assert.truthy(d)
  end)

  it("names both threads when a second one wants to read", function()
    local l <close>, _, both = network()
    local c, s = both()
    local q = filled(green.queue(1), 0)
    local t = blocked(green.spawn(s.receive, s))
    t.name = "first"
    local function check(f, ...)
      local ok, err = pcall(f, ...)
      assert.is_false(ok)
      assert.matches("already being read by green thread #" .. t.id .. " first",
        err)
      assert.matches("asked by #" .. green.current().id, err)
    end
    check(green.select, {{q, "put", 1}, green.event(), s})
    assert.same({0, 0}, {q:waiting()})
    t:kill()
    t:join()
    t = selecting {s}
    t.name = "first"
    check(green.select, {s})
    check(s.receive, s)
    t:kill()
    t:join()
    assert.truthy(l and c)
  end)
end)
