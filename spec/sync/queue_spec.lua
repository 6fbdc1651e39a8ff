-- Queues and channels.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function getters(q, n, ...)
  local ts = {}
  for i = 1, n do ts[i] = green.spawn(q.get, q, ...) end
  help.blocked(table.unpack(ts))
  return ts
end

local function putters(q, n, ...)
  local ts = {}
  for i = 1, n do ts[i] = green.spawn(q.put, q, i, ...) end
  help.blocked(table.unpack(ts))
  return ts
end

describe("a queue", function()
  it("gives items out in the order in which they came in", function()
    local q = green.queue()
    for i = 1, 1000 do assert.is_true(q:put(i)) end
    assert.equal(1000, #q)
    for i = 1, 1000 do assert.equal(i, q:get()) end
    assert.equal(0, #q)
    assert.same({nil, "timeout"}, {q:get(0)})
  end)

  it("keeps the order while it wraps round and grows", function()
    local q = green.queue()
    local put, got = 0, 0
    for round = 1, 300 do
      for _ = 1, round % 17 do
        put = put + 1
        q:put(put)
      end
      for _ = 1, math.min(#q, round % 13) do
        got = got + 1
        assert(q:get() == got)
      end
    end
    while #q > 0 do
      got = got + 1
      assert(q:get() == got)
    end
    assert.equal(put, got)
  end)

  it("takes every value but nil", function()
    local q, t = green.queue(), {}
    for _, v in ipairs {false, true, 0, "", t, print} do
      q:put(v)
      assert.equal(v, (q:get()))
    end
    local ok, err = pcall(function() q:put(nil) end)
    assert.is_false(ok)
    assert.matches("#1 to 'put' %(value expected, got nil%)", err)
  end)

  help.both(it, "serves getters first come, first served", function()
    local q, order, ts = green.queue(), {}, {}
    for i = 1, 10 do
      ts[i] = green.spawn(function()
        order[#order + 1] = i
        local v = q:get()
        order[#order + 1] = {i, v}
        return v
      end)
    end
    help.blocked(table.unpack(ts))
    assert.same({10, 0}, {q:waiting()})
    for i = 1, 10 do q:put("v" .. i) end
    for i = 1, 10 do assert.equal("v" .. i, ts[i]:wait()) end
    for i = 1, 10 do assert.same({i, "v" .. i}, order[10 + i]) end
    assert.same({0, 0}, {q:waiting()})
  end)

  it("promises an item to the getter it woke: a newcomer does not barge in",
    function()
      local q = green.queue()
      local t = getters(q, 1)[1]
      q:put("promised")
      assert.equal(0, #q)
      assert.is_nil(q:peek())
      assert.same({nil, "timeout"}, {q:get(0)})
      assert.equal("promised", t:wait())
    end)

  it("gives a newcomer what peek shows, and the getter it woke another one",
    function()
      local q = green.queue()
      local t = getters(q, 1)[1]
      q:put(1)
      q:put(2)
      assert.equal(1, #q)
      assert.equal(2, q:peek())
      assert.equal(2, q:get())
      assert.equal(1, t:wait())
    end)

  it("gives the oldest item to the getter that waited, not to a newcomer",
    function()
      local q = green.queue()
      local t = getters(q, 1)[1]
      q:put(1)
      q:put(2)
      assert.equal(2, q:get())
      assert.equal(1, t:wait())
    end)

  it("shows the next item by peek", function()
    local q = green.queue()
    assert.is_nil(q:peek())
    q:put(false)
    q:put(2)
    assert.is_false(q:peek())
    assert.equal(2, #q)
    q:get()
    assert.equal(2, q:peek())
  end)

  it("lets the others run while a producer fills a queue without bound",
    function()
      local q, ran = green.queue(), false
      green.spawn(function() ran = true end)
      for i = 1, 1000 do assert.is_true(q:put(i)) end
      assert.is_true(ran)
      assert.equal(1000, #q)
    end)

  it("never switches in a put that only tries", function()
    local q, ran = green.queue(), false
    green.spawn(function() ran = true end)
    green.atomic(function() -- else preemption makes it switch
      for i = 1, 1000 do assert.is_true(q:put(i, 0)) end
      assert.is_false(ran)
    end)
    green.sleep(0)
  end)

  it("refuses a negative limit and one that is no number", function()
    assert.is_false(pcall(green.queue, -1))
    assert.is_false(pcall(green.queue, "x"))
    assert.is_false(pcall(green.queue, 0 / 0))
    assert.is_false(pcall(green.queue, 1.5))
    local q = green.queue(math.huge)
    for i = 1, 100 do q:put(i) end
    assert.equal(100, #q)
  end)

  it("knows its own kind", function()
    local q = green.queue()
    assert.equal("queue", green.type(q))
    assert.equal("queue", green.type(green.channel()))
    for _, name in ipairs {"put", "get", "peek", "items", "close", "clear",
                           "resize", "waiting", "task_done", "join"} do
      local ok, err = pcall(q[name], io.stdout, 1)
      assert.is_false(ok)
      assert.matches("green.queue expected", err)
      assert.is_false(pcall(q[name]))
      assert.is_false(pcall(q[name], green.event(), 1))
    end
  end)
end)

describe("a bounded queue", function()
  help.both(it, "makes putters wait while it is full, and admits them in "
    .. "order", function()
      local q = green.queue(2)
      q:put("a")
      q:put("b")
      assert.same({nil, "timeout"}, {q:put("c", 0)})
      local ts = putters(q, 5)
      assert.same({0, 5}, {q:waiting()})
      assert.equal(2, #q)
      local got = {}
      for i = 1, 7 do got[i] = q:get() end
      assert.same({"a", "b", 1, 2, 3, 4, 5}, got)
      for i = 1, 5 do assert.is_true(ts[i]:wait()) end
      assert.equal(0, #q)
    end)

  it("has a limit to the wait of a put, which then keeps its item", function()
    local q = green.queue(1)
    q:put(1)
    local began = green.now()
    assert.same({nil, "timeout"}, {q:put(2, 0.002)})
    assert.is_true(green.now() - began >= 0.002)
    assert.equal(1, q:get())
    assert.same({nil, "timeout"}, {q:get(0)})
  end)

  it("lets no newcomer overtake a putter that waits", function()
    local q = green.queue(1)
    q:put("a")
    local t = green.spawn(q.put, q, "b")
    help.blocked(t)
    assert.equal("a", q:get())
    assert.same({nil, "timeout"}, {q:put("c", 0)})
    t:wait()
    assert.equal("b", q:get())
  end)

  help.both(it, "passes everything between many producers and consumers",
    function()
      local q = green.queue(3)
      local sum, n, producers, consumers = 0, 0, {}, {}
      for p = 1, 10 do
        producers[p] = green.spawn(function()
          for i = 1, 100 do q:put(p * 1000 + i) end
        end)
      end
      for c = 1, 7 do
        consumers[c] = green.spawn(function()
          local last = {}
          for v in q:items() do
            sum, n = sum + v, n + 1
            local p = v // 1000
            assert(v > (last[p] or 0), "out of order")
            last[p] = v
          end
        end)
      end
      help.ended(table.unpack(producers))
      q:close()
      help.ended(table.unpack(consumers))
      assert.equal(1000, n)
      assert.equal(1000 * 55 * 100 + 10 * 5050, sum)
    end)
end)

describe("a channel", function()
  help.both(it, "hands an item over only when both are there", function()
    local c = green.channel()
    assert.same({nil, "timeout"}, {c:put(1, 0)})
    assert.same({nil, "timeout"}, {c:get(0)})
    local t = green.spawn(c.put, c, "x")
    help.blocked(t)
    assert.equal(0, #c)
    assert.equal("x", c:peek())
    assert.equal("x", c:get())
    assert.is_true(t:wait())
    local g = getters(c, 1)[1]
    assert.is_true(c:put("y", 0))
    assert.equal("y", g:wait())
  end)

  it("is a queue of limit 0", function()
    local q = green.queue(0)
    assert.same({nil, "timeout"}, {q:put(1, 0)})
    local g = getters(q, 1)[1]
    assert.is_true(q:put("y"))
    assert.equal("y", g:wait())
  end)

  help.both(it, "serves both sides first come, first served", function()
    local c = green.channel()
    local ps = putters(c, 5)
    for i = 1, 5 do assert.equal(i, c:get()) end
    help.ended(table.unpack(ps))
    local gs = getters(c, 5)
    for i = 1, 5 do c:put(i) end
    for i = 1, 5 do assert.equal(i, gs[i]:wait()) end
  end)

  help.both(it, "plays ping-pong", function()
    local there, back = green.channel(), green.channel()
    green.spawn_n(function()
      for v in there:items() do back:put(v + 1) end
      back:close()
    end)
    local v = 0
    for _ = 1, 1000 do
      there:put(v)
      v = back:get()
    end
    there:close()
    assert.equal(1000, v)
    assert.same({nil, "closed"}, {back:get()})
  end)
end)

describe("close", function()
  help.both(it, "wakes putters with closed, and lets getters drain", function()
    local q = green.queue(1)
    q:put("last")
    local ts = putters(q, 3)
    q:close()
    q:close()
    for i = 1, 3 do assert.same({nil, "closed"}, {ts[i]:wait()}) end
    assert.same({nil, "closed"}, {q:put("x")})
    assert.same({nil, "closed"}, {q:put("x", 0)})
    assert.equal("last", q:get())
    assert.same({nil, "closed"}, {q:get()})
    assert.same({nil, "closed"}, {q:get(0)})
  end)

  help.both(it, "wakes getters with closed", function()
    local q = green.queue()
    local ts = getters(q, 3)
    q:close()
    for i = 1, 3 do assert.same({nil, "closed"}, {ts[i]:wait()}) end
  end)

  it("gives an item that was put before to the getter it woke", function()
    local q = green.queue()
    local ts = getters(q, 2)
    q:put("x")
    q:close()
    assert.equal("x", ts[1]:wait())
    assert.same({nil, "closed"}, {ts[2]:wait()})
  end)

  it("ends items() after the last item", function()
    local q, got = green.queue(), {}
    for i = 1, 3 do q:put(i) end
    local t = green.spawn(function()
      for v in q:items() do got[#got + 1] = v end
      return "over"
    end)
    help.blocked(t)
    q:put(4)
    q:close()
    assert.equal("over", t:wait())
    assert.same({1, 2, 3, 4}, got)
  end)

  it("followed by clear is immediate", function()
    local q = green.queue()
    for i = 1, 5 do q:put(i) end
    q:close()
    assert.equal(5, q:clear())
    assert.same({nil, "closed"}, {q:get()})
  end)

  it("never switches, and strikes nobody who is being killed", function()
    local q = green.queue()
    local t = green.spawn(function()
      green.current():kill()
      q:close()
      return #q
    end)
    assert.equal(0, t:wait())
  end)
end)

describe("clear", function()
  it("drops what nobody was promised, counts it done, and admits putters",
    function()
      local q = green.queue(2)
      q:put("a")
      q:put("b")
      local ts = putters(q, 3)
      assert.equal(2, q:clear())
      assert.is_true(ts[1]:wait())
      assert.is_true(ts[2]:wait())
      assert.equal(2, #q)
      assert.equal(1, q:get())
      assert.is_true(ts[3]:wait())
      assert.equal(2, q:get())
      assert.equal(3, q:get())
      for _ = 1, 3 do q:task_done() end
      assert.is_true(q:join(0))
      assert.equal(0, q:clear())
    end)

  it("leaves a promised item to its getter", function()
    local q = green.queue()
    local t = getters(q, 1)[1]
    q:put("promised")
    q:put("other")
    assert.equal(1, q:clear())
    assert.equal("promised", t:wait())
    assert.equal(0, #q)
  end)
end)

describe("resize", function()
  it("admits putters when there is more room", function()
    local q = green.queue(1)
    q:put(0)
    local ts = putters(q, 4)
    q:resize(3)
    assert.is_true(ts[1]:wait())
    assert.is_true(ts[2]:wait())
    assert.equal("blocked", ts[3]:status())
    assert.equal(3, #q)
    q:resize()
    assert.is_true(ts[3]:wait())
    assert.is_true(ts[4]:wait())
    for i = 0, 4 do assert.equal(i, q:get()) end
  end)

  it("to less drops nothing", function()
    local q = green.queue()
    for i = 1, 5 do q:put(i) end
    q:resize(2)
    assert.equal(5, #q)
    assert.same({nil, "timeout"}, {q:put(6, 0)})
    for i = 1, 4 do assert.equal(i, q:get()) end
    assert.is_true(q:put(6, 0))
    assert.is_false(pcall(q.resize, q, -1))
  end)

  it("makes a channel of a queue and a queue of a channel", function()
    local c = green.channel()
    local ts = putters(c, 2)
    c:resize(1)
    assert.is_true(ts[1]:wait())
    assert.equal(1, #c)
    c:resize(0)
    assert.equal(1, c:get())
    assert.equal(2, c:get())
    assert.same({nil, "timeout"}, {c:put(3, 0)})
  end)
end)

describe("task_done and join", function()
  help.both(it, "tell when all that was put has been done", function()
    local q = green.queue()
    assert.is_true(q:join())
    for i = 1, 3 do q:put(i) end
    assert.same({nil, "timeout"}, {q:join(0)})
    assert.same({nil, "timeout"}, {q:join(0.001)})
    local done = 0
    for _ = 1, 2 do
      green.spawn_n(function()
        for _ in q:items() do
          green.sleep(0)
          done = done + 1
          q:task_done()
        end
      end)
    end
    assert.is_true(q:join())
    assert.equal(3, done)
    q:close()
  end)

  it("raise when more is done than was put", function()
    local q = green.queue()
    local ok, err = pcall(q.task_done, q)
    assert.is_false(ok)
    assert.matches("task_done", err)
    q:put(1)
    q:task_done()
    assert.is_false(pcall(q.task_done, q))
  end)

  it("count nothing for a put that did not happen", function()
    local q = green.queue(1)
    q:put(1)
    q:put(2, 0)
    q:put(3, 0.001)
    q:task_done()
    assert.is_true(q:join(0))
    local c = green.channel()
    c:put(1, 0.001)
    assert.is_true(c:join(0))
  end)
end)

describe("a wait for a queue", function()
  help.both(it, "that is killed or times out loses no item", function()
    local q = green.queue()
    local a, b = table.unpack(getters(q, 2))
    local c = getters(q, 1, 0.001)[1]
    local d = getters(q, 1)[1]
    a:kill()
    a:join()
    c:join()
    q:put(1)
    q:put(2)
    assert.equal(1, b:wait())
    assert.equal(2, d:wait())
    assert.same({0, 0}, {q:waiting()})
    assert.equal(0, #q)
  end)

  help.both(it, "that was handed an item and killed in one turn gets the item, "
    .. "and the kill at the next call", function()
      local q = green.queue()
      local got
      local t = green.spawn(function()
        got = q:get()
        green.sleep(0)
      end)
      help.blocked(t)
      q:put("item")
      t:kill()
      t:join()
      assert.equal("item", got)
      assert.equal("killed", t:status())
      assert.equal(0, #q)
    end)

  help.both(it, "that is killed first and then skipped by a put: the item "
    .. "goes to the next", function()
      local q = green.queue()
      local a, b = table.unpack(getters(q, 2))
      a:kill()
      q:put("item")
      assert.equal("item", b:wait())
      assert.is_false((a:join()))
      assert.equal("killed", a:status())
    end)

  help.both(it, "of a putter that is killed takes its item back", function()
    local q = green.queue(1)
    q:put(0)
    local ts = putters(q, 3)
    ts[2]:kill()
    assert.equal(0, q:get())
    assert.equal(1, q:get())
    assert.equal(3, q:get())
    ts[2]:join()
    assert.equal("killed", ts[2]:status())
    assert.same({nil, "timeout"}, {q:get(0)})
    assert.same({0, 0}, {q:waiting()})
    for _ = 1, 3 do q:task_done() end
    assert.is_true(q:join(0))
  end)

  help.both(it, "of a putter that was admitted and killed in one turn stands",
    function()
      local q = green.queue(1)
      q:put(0)
      local put
      local t = green.spawn(function()
        put = q:put(1)
        green.sleep(0)
      end)
      help.blocked(t)
      q:get()
      t:kill()
      t:join()
      assert.is_true(put)
      assert.equal(1, q:get())
    end)

  it("whose coroutine is closed by foreign code gives the item back, in its "
    .. "place", function()
      local former = green.config().keep_stacks
      green.config {keep_stacks = 0}
      local q = green.queue()
      local co
      local t = green.spawn(function()
        co = coroutine.running()
        return q:get()
      end)
      help.blocked(t)
      local u = getters(q, 1)[1]
      q:put(1)
      q:put(2)
      q:put(3)
      assert.is_true(coroutine.close(co))
      assert.equal("killed", t:status())
      local rest = {q:get(), q:get()}
      rest[3] = u:wait()
      table.sort(rest)
      assert.same({1, 2, 3}, rest)
      assert.equal(0, #q)
      assert.same({0, 0}, {q:waiting()})
      green.config {keep_stacks = former}
    end)

  it("under random kills and limits loses nothing (seed " .. help.seed .. ")",
    function()
      for _, keep in ipairs {256, 0} do
        help.with_config({keep_stacks = keep}, function()
          local q = green.queue(4)
          local put, got, ts = {}, {}, {}
          for i = 1, 300 do
            ts[#ts + 1] = green.spawn(function()
              if q:put(i, math.random() < 0.3 and math.random() / 500 or nil)
              then put[i] = true end
            end)
            ts[#ts + 1] = green.spawn(function()
              local v = q:get(math.random() < 0.3 and math.random() / 500
                or nil)
              if v then
                assert(not got[v])
                got[v] = true
              end
            end)
          end
          help.shuffled(ts)
          for i, t in ipairs(ts) do
            if math.random() < 0.2 then t:kill() end
            if i % 10 == 0 then green.sleep(0) end
          end
          help.wait_until(function()
            local g, p = q:waiting()
            return g == 0 or p == 0 and #q == 0
          end)
          for _, t in ipairs(ts) do
            if t:status() ~= "blocked" then
              local ok, err = t:join(1)
              assert(ok or green.type(err) == "killed", err)
            end
          end
          q:close()
          for _, t in ipairs(ts) do t:join() end
          for v in q:items() do
            assert(not got[v])
            got[v] = true
          end
          for i = 1, 300 do assert(put[i] == got[i], "item " .. i) end
        end)
      end
    end)
end)
