-- Selectors: a select over the same things, again and again. waits_spec.lua
-- checks the promises of a wait for each kind of case.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local it = require "green.test".it(it)

local function queues(n)
  local list = {}
  for i = 1, n do list[i] = green.queue() end
  return list
end

describe("a selector", function()
  it("takes the first marked case in the order of the list", function()
    local q = queues(200)
    local s = green.selector(q)
    for _, i in ipairs {130, 5, 64, 65, 200} do q[i]:put("v" .. i) end
    local got = {}
    for i = 1, 5 do got[i] = {s:select()} end
    assert.same({{5, "v5"}, {64, "v64"}, {65, "v65"}, {130, "v130"},
      {200, "v200"}}, got)
    assert.same({nil, "timeout"}, {s:select(0)})
  end)

  it("takes values that were put between two calls and during a wait",
    function()
      local q = queues(3)
      local s = green.selector(q)
      assert.same({nil, "timeout"}, {s:select(0.001)})
      q[2]:put "between"
      assert.same({2, "between"}, {s:select()})
      green.spawn(function() q[3]:put "during" end)
      assert.same({3, "during"}, {s:select()})
      green.spawn(function()
        q[1]:put "a"
        q[1]:put "b"
        q[3]:put "c"
      end)
      assert.same({1, "a"}, {s:select()})
      assert.same({1, "b"}, {s:select()})
      assert.same({3, "c"}, {s:select()})
    end)

  it("that nobody waits in takes nothing from those who wait elsewhere",
    function()
      local q, sem = green.queue(), green.semaphore(0)
      local s = green.selector {q, sem}
      assert.is_nil(s:select(0)) -- its cases are first in both lists now
      local a = green.spawn(q.get, q)
      local b = green.spawn(sem.acquire, sem)
      help.blocked(a, b)
      assert.same({1, 0}, {q:waiting()})
      q:put "value"
      sem:release()
      assert.equal("value", a:wait())
      assert.is_truthy(b:wait())
      assert.is_nil(s:select(0))
    end)

  it("keeps its place in line while it waits", function()
    local q = green.queue()
    local s = green.selector {q}
    local a = green.spawn(s.select, s)
    help.blocked(a)
    local b = green.spawn(q.get, q)
    help.blocked(b)
    q:put "first"
    assert.same({1, "first"}, {a:wait()})
    assert.equal("blocked", b:status())
    q:put "second"
    assert.equal("second", b:wait())
  end)

  it("meets a put into a channel only while it waits", function()
    local c = green.channel()
    local s = green.selector {c}
    assert.is_nil(s:select(0))
    assert.same({nil, "timeout"}, {c:put("x", 0)})
    local t = green.spawn(s.select, s)
    help.blocked(t)
    assert.is_true(c:put("y", 0))
    assert.same({1, "y"}, {t:wait()})
    local p = green.spawn(c.put, c, "z")
    help.blocked(p)
    assert.same({1, "z"}, {s:select()})
    assert.is_true(p:wait())
  end)

  it("sees a signal only while it waits, and loses none to others", function()
    local c = green.condition()
    local s = green.selector {c}
    assert.is_nil(s:select(0))
    local t = green.spawn(c.wait, c)
    help.blocked(t)
    c:signal() -- not the selector's: nobody waits in it
    assert.is_true(t:wait())
    assert.is_nil(s:select(0))
    t = green.spawn(s.select, s)
    help.blocked(t)
    c:signal()
    assert.same({1, true}, {t:wait()})
  end)

  it("takes tickers, threads, events and flags beside queues", function()
    local q, e, f = green.queue(), green.event(), green.flag()
    local t = green.spawn(function() green.sleep(0.01) return "done" end)
    local k <close> = green.ticker(0.004)
    local s = green.selector {q, e, f, t, k}
    assert.same({5, 1}, {s:select()})
    assert.same({5, 2}, {s:select()})
    assert.same({4, true, "done"}, {s:select()})
    assert.is_true(s:remove(4))
    e:send "sent"
    assert.same({2, true, "sent"}, {s:select()})
    s:remove(2)
    f:set()
    assert.same({3, true}, {s:select()})
    assert.same({3, true}, {s:select()}) -- a flag stays set
    f:clear()
    q:put "v"
    assert.same({1, "v"}, {s:select()})
  end)

  it("lets cases come and go, and keeps the numbers of the others", function()
    local q = queues(3)
    local s = green.selector()
    assert.equal(0, #s)
    assert.equal(1, s:add(q[1]))
    assert.equal(2, s:add {q[2], "get"})
    assert.is_true(s:remove(1))
    assert.is_false(s:remove(1))
    assert.is_false(s:remove(9))
    assert.equal(3, s:add(q[3]))
    assert.equal(2, #s)
    q[1]:put "nobody's"
    q[3]:put "three"
    assert.same({3, "three"}, {s:select()})
    assert.is_nil(s:select(0))
    assert.equal(1, #q[1])
  end)

  it("with a case twice takes two values", function()
    local q = green.queue()
    local s = green.selector {q, q}
    local t = green.spawn(function() return {s:select()}, {s:select()} end)
    help.blocked(t)
    q:put "a"
    q:put "b"
    local a, b = t:wait()
    assert.same({1, "a"}, a)
    assert.same({1, "b"}, b)
  end)

  it("that is closed lets its waiter go, and raises no more", function()
    local q = green.queue()
    local s = green.selector {q}
    local t = green.spawn(s.select, s)
    help.blocked(t)
    s:close()
    s:close()
    assert.same({nil, "closed"}, {t:wait()})
    assert.same({nil, "closed"}, {s:select()})
    q:put "kept"
    assert.equal(1, #q)
    assert.has_error(function() s:add(q) end, "the selector is closed")
  end)

  it("that is closed after a wake-up gives what woke its waiter", function()
    local q = green.queue()
    local s = green.selector {q}
    local t = green.spawn(s.select, s)
    help.blocked(t)
    q:put "value"
    s:close()
    assert.same({1, "value"}, {t:wait()})
    assert.same({nil, "closed"}, {s:select()})
  end)

  it("takes a lock for whichever thread selects", function()
    local l = green.lock()
    local owner = green.spawn(function()
      local _ <close> = l:acquire()
      green.sleep(0.01)
    end)
    help.blocked(owner)
    local s = green.selector {l}
    assert.is_nil(s:select(0))
    local t = green.spawn(function()
      s:select()
      assert.equal(green.current(), l:owner())
      l:release()
      return "released"
    end)
    assert.equal("released", t:wait())
  end)

  it("takes one waiter at a time, and names the other", function()
    local s = green.selector {green.queue()}
    local t = green.spawn(s.select, s)
    t.name = "first"
    help.blocked(t)
    local ok, err = pcall(s.select, s)
    assert.is_false(ok)
    assert.matches("#%d+ first waits in this selector already", err)
    assert.has_error(function() s:remove(1) end)
    t:kill()
    t:join()
    assert.is_nil(s:select(0))
  end)

  it("serves another thread after the first was killed", function()
    local q = queues(100)
    local s = green.selector(q)
    for _ = 1, 3 do
      local t = green.spawn(s.select, s)
      help.blocked(t)
      t:kill()
      q[50]:put "x"
      t:join()
      assert.same({50, "x"}, {s:select()})
    end
  end)

  it("that was collected leaves no case behind", function()
    local q = queues(10)
    do
      local s = green.selector(q)
      assert.is_nil(s:select(0))
    end
    collectgarbage()
    collectgarbage()
    q[1]:put "x"
    assert.equal("x", q[1]:get(0))
  end)

  it("holds its objects", function()
    local s = green.selector {green.semaphore(1)}
    collectgarbage()
    collectgarbage()
    assert.equal(1, (s:select(0)))
  end)

  it("refuses what cannot be waited for, and says which", function()
    for _, bad in ipairs {{1}, {"x"}, {print}, {{}}} do
      local ok, err = pcall(green.selector, bad)
      assert.is_false(ok)
      assert.matches("bad argument #1 to '.-selector' %(case 1: ", err)
    end
    local q = green.queue()
    local ok, err = pcall(green.selector, {q, {q, "put", 1}})
    assert.is_false(ok)
    assert.matches("case 2: a selector puts nothing", err)
    ok, err = pcall(green.selector(q and {q}).add, green.selector {}, 7)
    assert.is_false(ok)
    assert.matches("case 1: ", err)
    assert.is_false(pcall(green.selector, 5))
    assert.is_false(pcall(green.selector {}.select, q))
  end)

  it("works over a thousand random puts as a select does", function()
    local q, total, sum = queues(100), 0, 0
    local s = green.selector(q)
    local t = green.spawn(function()
      while true do
        local _, v = s:select()
        if v == "end" then return end
        sum = sum + v
      end
    end)
    for i = 1, 1000 do
      q[math.random(100)]:put(i)
      total = total + i
      if math.random(3) == 1 then green.sleep(0) end
    end
    green.sleep(0.001)
    q[100]:put "end"
    t:wait()
    assert.equal(total, sum)
  end)
end)
