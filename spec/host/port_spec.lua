-- Ports, within one state; spec/c/lua_port_test.c has several, and OS threads.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local plain <const> = it
local it = require "green.test".it(it)

local function refusal(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

--- What came of sending a value.
local function there(...)
  local p = green.port()
  p:send(...)
  return p:receive()
end

describe("a port", function()
  it("gives messages out in the order in which they came in", function()
    local p = green.port()
    for i = 1, 100 do assert.is_true(p:send(i, -i)) end
    assert.equal(100, #p)
    for i = 1, 100 do assert.same({i, -i}, {p:receive()}) end
    assert.same({nil, "timeout"}, {p:receive(0)})
  end)

  it("carries no value, nils and many values", function()
    assert.equal(0, select("#", there()))
    assert.equal(3, select("#", there(nil, nil, nil)))
    local many = table.pack(there(table.unpack({}, 1, 200)))
    assert.equal(200, many.n)
  end)

  it("with room for n makes senders wait, first come, first served",
    function()
      local p, order = green.port(2), {}
      p:send(1)
      p:send(2)
      local ts = {}
      for i = 3, 6 do
        ts[i - 2] = green.spawn(function()
          p:send(i)
          order[#order + 1] = i
        end)
        help.blocked(ts[i - 2])
      end
      assert.same({0, 4}, {p:waiting()})
      assert.same({nil, "timeout"}, {p:put("x", 0)})
      assert.same({nil, "timeout"}, {p:put("x", 0.001)})
      for i = 1, 6 do assert.equal(i, (p:receive())) end
      for _, t in ipairs(ts) do t:wait() end
      assert.same({3, 4, 5, 6}, order)
    end)

  it("takes a value as it is when it is sent, even if the sender waits",
    function()
      local p, value = green.port(1), {"before"}
      p:send("first")
      local t = green.spawn(p.send, p, value, "more")
      help.blocked(t)
      value[1] = "after"
      assert.equal("first", p:receive())
      assert.same({{"before"}, "more"}, {p:receive()})
      assert.is_true(t:wait())
    end)

  it("waits with an empty message as well", function()
    local p = green.port(1)
    p:send("first")
    local t = green.spawn(p.send, p)
    help.blocked(t)
    p:receive()
    assert.equal(0, select("#", p:receive()))
    t:wait()
  end)

  it("loses nothing when a waiting receiver or sender is killed", function()
    local p = green.port(1)
    local a, b = green.spawn(p.receive, p), green.spawn(p.receive, p)
    help.blocked(a, b)
    p:send("x")
    a:kill()
    b:kill()
    help.with_config({}, green.sleep, 0)
    local got = a:join() and 1 or 0
    if b:join() then got = got + 1 end
    assert.equal(1, got + #p)
    while #p > 0 do p:receive() end
    p:send(1)
    local t = green.spawn(p.send, p, 2)
    help.blocked(t)
    t:kill()
    t:join()
    assert.equal(1, p:receive())
    assert.same({nil, "timeout"}, {p:receive(0)})
    assert.same({0, 0}, {p:waiting()})
  end)

  it("is drained after close, by calls and by an iterator", function()
    local p, got = green.port(), {}
    p:send(1)
    p:send(2, "two")
    p:close()
    assert.same({nil, "closed"}, {p:send(3)})
    assert.same({nil, "closed"}, {p:put(3, 1)})
    for a, b in p:items() do got[#got + 1] = {a, b} end
    assert.same({{1}, {2, "two"}}, got)
    assert.same({nil, "closed"}, {p:receive()})
    p:close()
  end)

  it("is closed at the end of its block", function()
    local outside
    do
      local p <close> = green.port()
      outside = p
    end
    assert.same({nil, "closed"}, {outside:send(1)})
  end)

  it("goes through a port, and is the same there", function()
    local p, box = green.port(), {}
    assert.equal(p, there(p))
    assert.equal(p, there({{p}})[1][1])
    box[there(p)] = "found"
    assert.equal("found", box[p])
    p:send(p) -- itself
    assert.equal(p, p:receive())
  end)

  -- Deadlocks are told to main.
  plain("whose other holders are gone is no hope against a deadlock", function()
    local p = green.port()
    assert.equal("deadlock", green.type(refusal(p.receive, p)))
    local full = green.port(1)
    full:send(1)
    assert.equal("deadlock", green.type(refusal(full.send, full, 2)))
    assert.equal(1, full:receive())
    assert.same({nil, "timeout"}, {full:receive(0)})
  end)

  it("is collected with what is inside", function()
    local weak = setmetatable({}, {__mode = "v"})
    for _ = 1, 100 do
      local outer, inner = green.port(), green.port()
      inner:send(("x"):rep(1000))
      outer:send(inner)
      weak[#weak + 1], weak[#weak + 2] = outer, inner
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("says what is wrong with an argument", function()
    assert.matches("#1 to 'port' %(room for at least one message expected",
      refusal(function() green.port(0) end))
    assert.matches("number expected", refusal(green.port, "x"))
    local p = green.port()
    assert.matches("#1 to 'put' %(value expected, got nil",
      refusal(function() p:put(nil) end))
    assert.matches("number expected", refusal(p.receive, p, "x"))
    assert.matches("green.port expected", refusal(p.receive, green.queue()))
    assert.equal("port", green.type(p))
  end)
end)

describe("select and selectors", function()
  it("receive from ports and put into them", function()
    local empty, p = green.port(), green.port(1)
    assert.same({2, true}, {green.select {empty, {p, "put", "v"}}})
    assert.same({nil, "timeout"}, {green.select({empty, {p, "put", "w"}}, 0)})
    assert.same({1, "v"}, {green.select {p, empty}})
    p:send("full")
    local t = green.spawn(green.select, {empty, {p, "put", {"late"}}})
    help.blocked(t)
    assert.equal("full", p:receive())
    assert.same({2, true}, {t:wait()})
    assert.same({"late"}, p:receive())
  end)

  it("take one message, and put one or none", function()
    local a, b, full = green.port(), green.port(), green.port(1)
    full:send(0)
    local t = green.spawn(green.select, {a, b, {full, "put", 1}})
    help.blocked(t)
    a:send("a", 1)
    b:send("b", 2)
    assert.equal(0, full:receive())
    local i, v, n = t:wait()
    assert.same({1, "a", 1}, {i, v, n})
    assert.same({0, 1, 0}, {#a, #b, #full})
    assert.is_true(full:put("room", 0))
    assert.same({0, 0}, {full:waiting()})
  end)

  it("wait beside queues and events, again and again", function()
    local p, q = green.port(), green.queue()
    local s = green.selector {q, p}
    local t = green.spawn(function()
      local got = {}
      for i, v in function() return s:select() end do
        got[#got + 1] = i .. tostring(v)
        if v == "end" then return table.concat(got, " ") end
      end
    end)
    for i = 1, 3 do
      green.sleep(0)
      p:send(i)
      q:put(i * 10)
    end
    green.sleep(0)
    p:send("end")
    local words = {}
    for word in t:wait():gmatch "%S+" do words[#words + 1] = word end
    table.sort(words)
    assert.equal("110 120 130 21 22 23 2end", table.concat(words, " "))
  end)

  it("refuse a value that cannot be sent", function()
    local p = green.port(1)
    local function try() green.select {{p, "put", {x = print}}} end
    assert.matches('in field "x": a function cannot be sent', refusal(try))
    p:send(1)
    assert.matches('in field "x": a function cannot be sent', refusal(try))
  end)

  it("learn that a port was closed", function()
    local p, full = green.port(), green.port(1)
    full:send(1)
    local a = green.spawn(green.select, {p})
    local b = green.spawn(green.select, {{full, "put", 2}})
    help.blocked(a, b)
    p:close()
    full:close()
    assert.same({1, nil, "closed"}, {a:wait()})
    assert.same({1, nil, "closed"}, {b:wait()})
  end)
end)

describe("a message", function()
  it("carries scalars as they are", function()
    for _, v in ipairs {true, false, 0, -1, math.maxinteger, math.mininteger,
      0.5, -0.0, math.huge, -math.huge, "", "\0\255", ("x"):rep(255),
      ("x"):rep(256), ("y"):rep(100000), io.stdout and 1e308} do
      local got = there(v)
      assert.equal(v, got)
      assert.equal(math.type(v), math.type(got))
    end
    local nan = there(0 / 0)
    assert.is_true(nan ~= nan)
    assert.equal(-math.huge, 1 / there(-0.0))
  end)

  it("carries tables of tables, with holes and keys of every kind", function()
    local v = {1, 2, nil, 4, {}, {{{}}}, n = 5, [0] = "zero", [-1] = "minus",
      [2.5] = "float", [true] = "yes", [false] = "no", ["\0"] = "nul",
      [1 << 40] = "far", list = {"a", {b = "c"}}}
    assert.same(v, there(v))
    local long = {}
    for i = 1, 5000 do long[i] = i * 2 end
    assert.same(long, there(long))
  end)

  it("carries a table that is reached twice as two", function()
    local shared = {"s"}
    local got = there {shared, shared}
    assert.same({{"s"}, {"s"}}, got)
    assert.is_false(rawequal(got[1], got[2]))
  end)

  it("calls no metamethod of the strings or of anything", function()
    local p = green.port()
    local trap = setmetatable({}, {__index = error, __len = error,
      __pairs = error, __tostring = error})
    assert.matches("a table with a metatable cannot be sent",
      refusal(p.send, p, trap))
  end)

  local cases = {
    {print, "a function cannot be sent"},
    {coroutine.create(print), "a thread cannot be sent"},
    {green.queue(), "a green.queue cannot be sent"},
    {io.stdout, "a FILE%* cannot be sent"},
    {{a = {1, 2, print}}, 'in field "a"%[3%]: a function cannot be sent'},
    {{{x = {y = print}}}, 'in field %[1%]%["x"%]%["y"%]: a function'},
    {{[1.5] = print}, "in field %[1%.5%]: a function"},
    {{[true] = print}, "in field %[true%]: a function"},
    {{["a\nb"] = print}, 'in field "a%?b": a function'},
    {{[("k"):rep(50)] = print},
      'in field "' .. ("k"):rep(32) .. '%.%.%.": a function'},
    {{[print] = 1}, "in a key: a function cannot be sent"},
    {{[{}] = 1}, "in a key: a table as a key cannot be sent"},
    {{t = {[{}] = 1}}, 'in field "t", a key: a table as a key'},
    {{m = setmetatable({}, {})}, 'in field "m": a table with a metatable'},
  }
  it("is refused with the place of what cannot be sent", function()
    local p = green.port()
    for _, case in ipairs(cases) do
      local err = refusal(function() p:send("ok", case[1]) end)
      assert.matches("bad argument #2 to 'send' %(" .. case[2], err)
      assert.equal(0, #p)
    end
    local cycle = {}
    cycle.a = {{cycle}}
    assert.matches('in field "a"%[1%]%[1%]: a table that contains itself',
      refusal(p.send, p, cycle))
  end)

  it("has tables up to 100 deep", function()
    local function nested(n)
      local t = {}
      for _ = 2, n do t = {t} end
      return t
    end
    assert.same(nested(100), there(nested(100)))
    assert.matches("more than 100 tables in one another",
      refusal(there, nested(101)))
  end)

  it("has a size at which tables of shared tables end", function()
    local big = ("x"):rep(1 << 20)
    local t = {big, big}
    for _ = 1, 10 do t = {t, t} end
    assert.matches("a message has at most 256 MB", refusal(there, t))
  end)
end)
