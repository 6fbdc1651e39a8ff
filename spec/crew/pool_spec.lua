-- Pools: how many run at once, the order of waiters, lending of slots, and the
-- end of a pool; map, imap and imap_unordered.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"

local long = test.it(it, {order = "fifo", limit = 60, seeds = 5})
local it, fifo = test.it(it), test.it(it, {order = "fifo"})

--- Nothing of the pool is left.
local function at_rest(pool, size)
  assert.equal(0, pool:running())
  assert.equal(size, pool:free())
  assert.equal(0, pool:waiting())
end

local function settled(pool, size)
  pool:wait()
  at_rest(pool, size)
end

--- Counts how many run at once.
local function counter()
  local c = {now = 0, most = 0, done = 0}
  function c.begin()
    c.now = c.now + 1
    c.most = math.max(c.most, c.now)
    return setmetatable({}, {__close = function()
      c.now = c.now - 1
      c.done = c.done + 1
    end})
  end
  return c
end

local function killed(err)
  return green.type(err) == "killed"
end

describe("a pool", function()
  it("runs at most its size at once, and all in the end", function()
    for size = 1, 5 do
      local pool, c, ts = green.pool(size), counter(), {}
      for i = 1, 20 do
        ts[i] = pool:spawn(function(a, b)
          local _ <close> = c.begin()
          green.sleep(math.random(0, 3) / 1000)
          return a, b
        end, i, nil)
        assert.is_true(pool:running() <= size)
      end
      for i = 1, 20 do
        assert.same({n = 2, i}, table.pack(ts[i]:wait()))
      end
      assert.equal(size, c.most)
      assert.equal(20, c.done)
      settled(pool, size)
    end
  end)

  it("of any number never blocks", function()
    local pool, gate = green.pool(math.huge), green.event()
    for _ = 1, 100 do pool:spawn_n(gate.wait, gate) end
    assert.equal(100, pool:running())
    assert.equal(math.huge, pool:free())
    gate:send()
    assert.is_true(pool:wait())
  end)

  fifo("lets spawners in first come, first served", function()
    local pool, order, gate = green.pool(1), {}, green.event()
    pool:spawn(gate.wait, gate)
    local ts = {}
    for i = 1, 6 do
      ts[i] = green.spawn(function()
        pool[i % 2 == 0 and "spawn" or "spawn_n"](pool, function()
          order[#order + 1] = i
        end)
      end)
      test.blocked(ts[i])
      assert.equal(i, pool:waiting())
    end
    gate:send()
    for _, t in ipairs(ts) do t:wait() end
    pool:wait()
    assert.same({1, 2, 3, 4, 5, 6}, order)
  end)

  it("lets nobody overtake those that wait", function()
    local pool, gate, order = green.pool(1), green.event(), {}
    pool:spawn(gate.wait, gate)
    local a = test.blocked(green.spawn(function()
      pool:spawn(function() order[#order + 1] = "a" end)
    end))
    gate:send()
    local t = pool:spawn(function() order[#order + 1] = "b" end)
    t:wait()
    a:wait()
    assert.same({"a", "b"}, order)
    settled(pool, 1)
  end)

  it("gives a spawn's arguments on, whatever a foreign resume leaves on the "
    .. "waiting spawner's stack", function()
      help.with_config({keep_stacks = 0}, function()
        local pool, gate, got, co = green.pool(1), green.event(), nil, nil
        pool:spawn(gate.wait, gate)
        local t = test.blocked(green.spawn(function()
          co = coroutine.running()
          return pool:spawn(function(...) got = table.pack(...) end, 1, nil)
        end))
        for _ = 1, 3 do coroutine.resume(co, "nonsense", "more") end
        gate:send()
        t:wait():wait()
        assert.same({n = 2, 1}, got)

        gate = green.event()
        local worker = pool:spawn(function()
          co = coroutine.running()
          return table.pack(pool:spawn(gate.wait, gate))
        end)
        test.blocked(worker)
        for _ = 1, 3 do coroutine.resume(co, "nonsense", "more") end
        gate:send()
        local r = worker:wait()
        assert.equal(1, r.n)
        assert.equal("thread", green.type(r[1]))
      end)
    end)

  it("keeps a slot that was granted to a spawner closed by foreign code",
    function()
      help.with_config({keep_stacks = 0}, function()
        local pool, gate, co = green.pool(1), green.event(), nil
        local first = pool:spawn(gate.wait, gate)
        local t = test.blocked(green.spawn(function()
          co = coroutine.running()
          pool:spawn(function() end)
        end))
        local nxt = test.blocked(green.spawn(function()
          return pool:spawn(function() return "next" end):wait()
        end))
        local idle = test.blocked(green.spawn(pool.wait, pool))
        gate:send()
        test.wait_until(function() return first:status() == "done" end)
        if t:status() == "ready" then coroutine.close(co) end
        t:join()
        if t:status() == "killed" then
          assert.equal("next", nxt:wait())
        end
        nxt:wait()
        idle:wait()
        settled(pool, 1)
      end)
    end)

  it("wakes who waits for its end when the last granted spawner is closed",
    function()
      help.with_config({keep_stacks = 0}, function()
        local pool, gate, co = green.pool(1), green.event(), nil
        local first = pool:spawn(gate.wait, gate)
        local t = test.blocked(green.spawn(function()
          co = coroutine.running()
          pool:spawn(function() end)
        end))
        local idle = test.blocked(green.spawn(pool.wait, pool))
        gate:send()
        test.wait_until(function() return first:status() == "done" end)
        if t:status() == "ready" then coroutine.close(co) end
        assert.is_true(idle:wait())
        settled(pool, 1)
      end)
    end)

  it("is left in place by spawners that are killed, thrown into or timed out "
    .. "while they wait", function()
      local pool, gate, ran = green.pool(1), green.event(), 0
      pool:spawn(gate.wait, gate)
      local function spawner()
        pool:spawn(function() ran = ran + 1 end)
      end
      local a, b, d = green.spawn(spawner), green.spawn(spawner),
        green.spawn(spawner)
      local c = green.spawn(green.with_timeout, 0.01, spawner)
      test.blocked(a, b, c, d)
      assert.equal(4, pool:waiting())
      a:kill()
      local b_joined = test.blocked(green.spawn(b.join, b))
      b:throw("thrown")
      assert.is_true(killed(select(2, a:join())))
      assert.same({true, false, "thrown"}, {b_joined:join()})
      assert.same({true, nil, "timeout"}, {c:join()})
      assert.equal(1, pool:waiting())
      gate:send()
      d:wait()
      settled(pool, 1)
      assert.equal(1, ran)
    end)

  it("raises a pending interruption on entry, before any effect", function()
    local pool, ran = green.pool(3), false
    local t = green.spawn(function()
      green.current():kill()
      pool:spawn(function() ran = true end)
    end)
    assert.is_true(killed(select(2, t:join())))
    settled(pool, 3)
    assert.is_false(ran)
  end)

  it("wakes spawners when it grows, and lets workers run on when it shrinks",
    function()
      local pool, gate, c = green.pool(1), green.event(), counter()
      local function work()
        local _ <close> = c.begin()
        gate:wait()
      end
      for _ = 1, 6 do green.spawn(pool.spawn, pool, work) end
      test.wait_until(function() return pool:waiting() == 5 end)
      pool:resize(4)
      test.wait_until(function() return c.now == 4 end)
      assert.equal(2, pool:waiting())
      pool:resize(1)
      assert.equal(4, pool:running())
      assert.equal(-3, pool:free())
      green.sleep(0)
      assert.equal(4, c.now)
      pool:resize(math.huge)
      test.wait_until(function() return c.now == 6 end)
      assert.equal(math.huge, pool:free())
      pool:resize(2)
      assert.equal(-4, pool:free())
      gate:send()
      settled(pool, 2)
      assert.equal(6, c.done)
    end)

  it("that shrinks starts nobody before it has room", function()
    local pool, c, gates = green.pool(3), counter(), {}
    for i = 1, 3 do
      gates[i] = green.event()
      pool:spawn(gates[i].wait, gates[i])
    end
    local t = green.spawn(pool.spawn, pool, function()
      local _ <close> = c.begin()
    end)
    test.blocked(t)
    pool:resize(1)
    for i = 1, 3 do
      assert.equal(0, c.done)
      gates[i]:send()
      for _ = 1, 5 do green.sleep(0) end
    end
    t:wait()
    settled(pool, 1)
    assert.equal(1, c.done)
  end)

  it("waits for all its workers, and for those that come meanwhile", function()
    local pool, done = green.pool(2), {}
    pool:spawn_n(function()
      green.sleep(0.01)
      green.spawn_n(pool.spawn_n, pool, function()
        green.sleep(0.01)
        done[#done + 1] = "later"
      end)
      green.sleep(0.001)
      done[#done + 1] = "first"
    end)
    assert.is_true(pool:wait())
    assert.same({"first", "later"}, done)
    assert.is_true(pool:wait(0))
  end)

  it("may be waited for with a limit", function()
    local pool, gate = green.pool(2), green.event()
    assert.is_true(pool:wait(0))
    pool:spawn(gate.wait, gate)
    assert.same({nil, "timeout"}, {pool:wait(0)})
    assert.same({nil, "timeout"}, {pool:wait(-1)})
    local began = green.now()
    assert.same({nil, "timeout"}, {pool:wait(0.5)})
    assert.is_true(green.now() - began >= 0.5)
    gate:send()
    assert.is_true(pool:wait(1))
  end)

  it("cannot be waited for by a worker", function()
    local pool = green.pool(2)
    local _, err = pool:spawn(function() pool:wait() end):join()
    assert.matches("worker cannot wait", err)
    _, err = pool:spawn(function() pool:wait(0) end):join()
    assert.matches("worker cannot wait", err)
    settled(pool, 2)
  end)

  it("kills those that are in it, and stays of use", function()
    local pool, gate = green.pool(3), green.event()
    local ts = {}
    for i = 1, 3 do ts[i] = pool:spawn(gate.wait, gate) end
    test.blocked(ts[1], ts[2])
    pool:kill("enough")
    for i = 1, 3 do
      local ok, err = ts[i]:join()
      assert.is_false(ok)
      assert.equal("enough", err.reason)
    end
    assert.equal(7, pool:spawn(function() return 7 end):wait())
    settled(pool, 3)
  end)

  it("may be killed by its worker, which is killed, too", function()
    local pool = green.pool(2)
    local other = pool:spawn(green.sleep, 100)
    local t = pool:spawn(function()
      pool:kill()
      green.sleep(0)
    end)
    assert.is_true(killed(select(2, t:join())))
    assert.is_true(killed(select(2, other:join())))
    settled(pool, 2)
  end)

  it("hands errors to the handle, or to on_error", function()
    local pool = green.pool(2)
    local list = help.collecting(function(errors)
      local t = pool:spawn(error, "to the handle", 0)
      assert.same({false, "to the handle"}, {t:join()})
      pool:spawn_n(error, "to on_error", 0)
      pool:spawn(error, "nobody waits", 0)
      pool:wait()
      test.wait_until(function() return #errors == 2 end)
    end)
    local texts = {list[1].err, list[2].err}
    table.sort(texts)
    assert.same({"nobody waits", "to on_error"}, texts)
  end)

  it("is bounded by max_threads: the slot goes on", function()
    local pool, gate = green.pool(2), green.event()
    pool:spawn(gate.wait, gate)
    help.with_config({max_threads = green.stats().threads}, function()
      for _ = 1, 3 do
        local ok, err = pcall(pool.spawn, pool, print)
        assert.is_false(ok)
        assert.matches("too many green threads", err)
      end
      local ok, err = pcall(green.pool(math.huge).spawn_n, green.pool(1), print)
      assert.is_false(ok)
      assert.matches("too many green threads", err)
    end)
    assert.equal(1, pool:running())
    gate:send()
    settled(pool, 2)
  end)

  fifo("gives a granted slot on when max_threads refuses the thread", function()
    local pool, gate, ran = green.pool(1), green.event(), 0
    local first = pool:spawn(gate.wait, gate)
    local results = {}
    local function spawner(i)
      return green.spawn(function()
        results[i] = pcall(pool.spawn, pool, function() ran = ran + 1 end)
      end)
    end
    local a, b = spawner(1), spawner(2)
    local idle = green.spawn(pool.wait, pool)
    test.blocked(a, b, idle)
    gate:send()
    test.wait_until(function() return first:status() == "done" end)
    help.with_config({max_threads = 1}, function()
      a:wait()
      b:wait()
    end)
    assert.same({false, false}, results)
    assert.is_true(idle:wait())
    settled(pool, 1)
    assert.equal(0, ran)
  end)

  it("refuses a size that is none, and other misuse", function()
    for _, n in ipairs {0, -1, 0.5, 1.5, 0 / 0, -math.huge, "3", {}, true} do
      local ok, err = pcall(green.pool, n)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'pool'", err)
    end
    assert.matches("no value", select(2, pcall(green.pool)))
    local pool = green.pool(2.0)
    assert.equal(2, pool:free())
    for _, n in ipairs {0, -1, 0.5, 1.5, 0 / 0, {}} do
      assert.is_false(pcall(pool.resize, pool, n))
    end
    for _, name in ipairs {"spawn", "spawn_n"} do
      local _, err = pcall(function() pool[name](pool, nil) end)
      assert.matches("function expected", err)
      _, err = pcall(function() pool[name](print) end)
      assert.matches("pool or group", err)
    end
    assert.is_false(pcall(pool.wait, pool, 0 / 0))
    assert.equal("pool", green.type(pool))
    settled(pool, 2)
  end)

  it("takes any callable", function()
    local pool = green.pool(1)
    local callable = setmetatable({}, {__call = function(_, x) return x + 1 end,
      __metatable = "locked"})
    assert.equal(3, pool:spawn(callable, 2):wait())
    assert.same({2, 3, n = 2}, pool:map(callable, {1, 2}))
  end)

  it("is refused while full in a finalizer, and nothing happens", function()
    local pool, gate, result, ran = green.pool(1), green.event(), nil, false
    local worker = pool:spawn(function()
      local function garbage()
        setmetatable({}, {__gc = function()
          result = table.pack(pcall(pool.spawn, pool, function()
            ran = true
          end))
        end})
      end
      garbage()
      collectgarbage()
      gate:wait()
      return pool:running()
    end)
    test.blocked(worker)
    assert.is_false(result[1])
    assert.matches("finalizer", result[2])
    gate:send()
    assert.equal(1, worker:wait())
    settled(pool, 1)
    assert.is_false(ran)
  end)

  it("may be spawned into by a finalizer of the cycle it dies in", function()
    local ran = 0
    local function garbage()
      local pool = green.pool(2)
      pool:spawn(function() ran = ran + 1 end)
      pool:wait()
      setmetatable({pool}, {__gc = function(t)
        t[1]:spawn(function() green.sleep(0.001) ran = ran + 1 end)
      end})
    end
    for _ = 1, 10 do garbage() end
    collectgarbage()
    collectgarbage()
    test.wait_until(function() return ran == 20 end)
    collectgarbage()
    collectgarbage()
  end)

  it("lives as long as its workers", function()
    local weak = setmetatable({}, {__mode = "v"})
    local gate, order = green.event(), {}
    do
      local pool = green.pool(1)
      weak[1] = pool
      pool:spawn(function() gate:wait() order[1] = 1 end)
    end
    collectgarbage()
    assert.is_truthy(weak[1])
    gate:send()
    test.wait_until(function() return order[1] end)
    green.sleep(0)
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

describe("a block of a pool", function()
  it("that ends waits for the workers", function()
    local done = 0
    do
      local pool <close> = green.pool(2)
      for _ = 1, 5 do
        pool:spawn_n(function() green.sleep(0.01) done = done + 1 end)
      end
    end
    assert.equal(5, done)
    local function f()
      local pool <close> = green.pool(1)
      pool:spawn_n(function() green.sleep(0.01) done = done + 1 end)
      return "value"
    end
    assert.equal("value", f())
    assert.equal(6, done)
  end)

  it("left by an error kills and joins them, and the error goes on", function()
    local ended, mine = 0, {}
    local ok, err = pcall(function()
      local pool <close> = green.pool(2)
      for _ = 1, 2 do
        pool:spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            green.shield(1, green.sleep, 0.1)
            ended = ended + 1
          end})
          green.sleep(1000)
        end)
      end
      green.sleep(0.01)
      error(mine)
    end)
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal(2, ended)
  end)

  it("left by a kill, while it joins or before, kills and joins them",
    function()
      for _, early in ipairs {true, false} do
        local ended
        local t = green.spawn(function()
          local pool <close> = green.pool(2)
          pool:spawn(function()
            local _ <close> = setmetatable({}, {__close = function()
              green.shield(1, green.sleep, 0.1)
              ended = true
            end})
            green.sleep(1000)
          end)
          if early then green.sleep(100) end
        end)
        test.blocked(t)
        green.sleep(0.01)
        t:kill()
        assert.is_true(killed(select(2, t:join())))
        assert.is_true(ended)
      end
    end)

  it("left by an error ends although others spawn on and on", function()
    local stopped
    local ok, err = pcall(function()
      local pool <close> = green.pool(1)
      green.spawn(function()
        local fine, e
        repeat
          fine, e = pcall(pool.spawn, pool, green.sleep, 1)
        until not fine
        stopped = e
      end)
      green.sleep(5.5)
      error("left", 0)
    end)
    assert.same({false, "left"}, {ok, err})
    test.wait_until(function() return stopped end)
    assert.matches("the pool is closed", stopped)
  end)

  it("that has ended takes no more work", function()
    local pool
    do
      local p <close> = green.pool(1)
      pool = p
    end
    assert.matches("the pool is closed", select(2, pcall(pool.spawn, pool,
      print)))
    at_rest(pool, 1)
  end)

  it("interrupted by a timeout while it joins raises it", function()
    local ended
    assert.same({nil, "timeout"}, {green.with_timeout(0.5, function()
      local pool <close> = green.pool(2)
      local t = pool:spawn(green.sleep, 1000)
      t:link(function() ended = t:status() end)
    end)})
    green.sleep(0.001)
    assert.equal("killed", ended)
  end)
end)

describe("a worker that spawns into its own full pool", function()
  it("lends its slot: a pool of one goes on", function()
    local pool, c = green.pool(1), counter()
    local t = pool:spawn(function()
      local child = pool:spawn(function()
        local _ <close> = c.begin()
        green.sleep(0.01)
        return "child", pool:running()
      end)
      return child:wait()
    end)
    assert.same({"child", 1}, {t:wait()})
    settled(pool, 1)
    assert.equal(1, c.most)
  end)

  it("in chains, 1,000 deep, each of which waits for the next", function()
    local pool, most = green.pool(1), 0
    local function down(n)
      most = math.max(most, pool:running())
      if n == 0 then return 0 end
      local t = pool:spawn(down, n - 1)
      return t:wait() + 1
    end
    assert.equal(1000, pool:spawn(down, 1000):wait())
    assert.equal(1, most)
    settled(pool, 1)
  end)

  it("in trees that join their branches, at every size", function()
    local function sum(pool, n)
      if n < 2 then
        green.sleep(math.random(0, 2) / 1000)
        return n
      end
      local a = pool:spawn(sum, pool, n - 1)
      local b = pool:spawn(sum, pool, n - 2)
      return a:wait() + b:wait()
    end
    for size = 1, 4 do
      local pool = green.pool(size)
      local first, second = pool:spawn(sum, pool, 9), pool:spawn(sum, pool, 7)
      assert.equal(34, first:wait())
      assert.equal(13, second:wait())
      settled(pool, size)
    end
  end)

  it("goes on before those that wait outside", function()
    local pool, order, gate = green.pool(1), {}, green.event()
    local worker = pool:spawn(function()
      pool:spawn(gate.wait, gate)
      order[#order + 1] = "lender"
    end)
    test.blocked(worker)
    local outer = test.blocked(green.spawn(pool.spawn, pool, function()
      order[#order + 1] = "outer"
    end))
    gate:send()
    outer:wait()
    settled(pool, 1)
    assert.same({"lender", "outer"}, order)
  end)

  it("gets the error through the child's handle only", function()
    local pool = green.pool(1)
    local t = pool:spawn(function()
      local child = pool:spawn(error, "of the child", 0)
      return child:join()
    end)
    local list = help.collecting(function(errors)
      assert.same({true, false, "of the child"}, {t:join()})
      test.wait_until(function() return #errors == 1 end)
    end)
    assert.equal("of the child", list[1].err)
    settled(pool, 1)
  end)

  it("may do so by spawn_n, and gets nothing back", function()
    local pool, ran = green.pool(1), false
    local t = pool:spawn(function()
      return select("#", pool:spawn_n(function() ran = true end)), ran
    end)
    assert.same({0, true}, {t:wait()})
    settled(pool, 1)
  end)

  it("and is killed while it waits has no slot to give back", function()
    for _, how in ipairs {"kill", "timeout", "throw", "swallow"} do
      local pool, gate = green.pool(1), green.event()
      local t = pool:spawn(function()
        local limit = how == "timeout" and 0.01 or nil
        green.with_timeout(limit, function()
          if how == "swallow" then
            pcall(pool.spawn, pool, gate.wait, gate)
            pool:spawn(green.sleep, 0.01)
          else
            pool:spawn(gate.wait, gate)
          end
        end)
      end)
      test.blocked(t)
      t:link(function() end) -- where its error goes
      assert.equal(1, pool:running())
      if how == "kill" then t:kill() end
      if how == "throw" or how == "swallow" then t:throw("x") end
      green.sleep(0.1)
      assert.equal(1, pool:running())
      if how ~= "swallow" then assert.is_true(t:status() ~= "blocked") end
      gate:send()
      t:join()
      settled(pool, 1)
    end
  end)

  it("whose interruption was taken back takes the slot that is free", function()
    local pool, gate = green.pool(1), green.event()
    local to
    local t = pool:spawn(function()
      to = green.timeout(1)
      return green.type(pool:spawn(gate.wait, gate))
    end)
    test.blocked(t)
    green.spawn(function()
      green.sleep(1)
      gate:send()
      to:cancel()
    end)
    local ok, what = t:join()
    assert.is_true(ok and what == "thread" or what == to)
    settled(pool, 1)
  end)

  it("closed by foreign code while it waits, or after it was woken", function()
    help.with_config({keep_stacks = 0}, function()
      for _, woken in ipairs {false, true} do
        local pool, gate, co = green.pool(1), green.event(), nil
        local t = pool:spawn(function()
          co = coroutine.running()
          pool:spawn(gate.wait, gate)
        end)
        test.blocked(t)
        if woken then
          gate:send()
          test.wait_until(function() return t:status() ~= "blocked" end)
        end
        if t:status() ~= "done" then coroutine.close(co) end
        t:join()
        if not woken then gate:send() end
        settled(pool, 1)
      end
    end)
  end)
end)

describe("pool:map", function()
  it("returns the first results in order of the input, and their number",
    function()
      local pool, c = green.pool(3), counter()
      local r = pool:map(function(i)
        local _ <close> = c.begin()
        green.sleep(math.random() / 10)
        if i % 3 == 0 then return nil, "second" end
        return i * i, "second"
      end, {1, 2, 3, 4, 5, 6, 7})
      assert.same({1, 4, nil, 16, 25, nil, 49, n = 7}, r)
      assert.equal(3, c.most)
      settled(pool, 3)
    end)

  it("takes a list, pairs, a generator, or any iterator", function()
    local pool = green.pool(2)
    local function both(a, b) return tostring(a) .. tostring(b) end
    assert.same({n = 0}, pool:map(both, {}))
    assert.same({n = 0}, pool:map(both, function() end))
    assert.same({"1nil", "2nil", n = 2}, pool:map(both, {1, 2}))
    assert.same({"1x", "2y", n = 2}, pool:map(both, ipairs {"x", "y"}))
    assert.same({"kv", n = 1}, pool:map(both, pairs {k = "v"}))
    assert.same({"1nil", "2nil", n = 2}, pool:map(both,
      coroutine.wrap(function()
        for i = 1, 2 do
          green.sleep(0.01)
          coroutine.yield(i)
        end
      end)))
    local callable = setmetatable({}, {__call = function(_, s, i)
      if i < s then return i + 1, "z" end
    end})
    assert.same({"1z", "2z", n = 2}, pool:map(both, callable, 2, 0))
    settled(pool, 2)
  end)

  it("closes its input, whatever ends it", function()
    local pool, closed = green.pool(2), 0
    local closing = setmetatable({}, {__close = function()
      closed = closed + 1
    end})
    pool:map(print, function() end, nil, nil, closing)
    assert.equal(1, closed)
    pcall(pool.map, pool, error, next, {1}, nil, closing)
    assert.equal(2, closed)
    pcall(pool.map, pool, green.sleep, error, "of the input", nil, closing)
    assert.equal(3, closed)
    local _, err = pcall(pool.map, pool, print, next, {}, nil, 7)
    assert.matches("bad argument #5 to 'map'", err)
    settled(pool, 2)
  end)

  it("raises the very value of the first failure, and kills and joins the "
    .. "rest", function()
      local pool, value, cleaned = green.pool(3), {}, 0
      local text
      local ok, err = xpcall(pool.map, function(e)
        text = green.traceback(e)
        return e
      end, pool, function(i)
        if i == 2 then green.sleep(0.1) error(value) end
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(1, green.sleep, 0.1)
          cleaned = cleaned + 1
        end})
        green.sleep(1e6)
      end, {1, 2, 3})
      assert.is_false(ok)
      assert.equal(value, err)
      assert.equal(2, cleaned)
      assert.matches("caused by #%d+", text)
      settled(pool, 3)
    end)

  it("reads no more of the input after a failure than it had room for",
    function()
      local pool, read = green.pool(2), 0
      local ok, err = pcall(pool.map, pool, function(i)
        green.sleep(0.01)
        if i == 3 then error("third", 0) end
      end, function(_, i)
        read = read + 1
        return (i or 0) + 1
      end)
      assert.same({false, "third"}, {ok, err})
      assert.is_true(read <= 6)
      settled(pool, 2)
    end)

  it("raises an error of the input, and kills the workers", function()
    local pool = green.pool(5)
    local ok, err = pcall(pool.map, pool, green.sleep, function(_, i)
      if i == 3 then error("input", 0) end
      return (i or 1e6) and (i or 0) + 1
    end)
    assert.same({false, "input"}, {ok, err})
    settled(pool, 5)
  end)

  it("hands failures that nobody reads to on_error", function()
    local pool = green.pool(2)
    local list = help.collecting(function(errors)
      pcall(pool.map, pool, function(i)
        local _ <close> = setmetatable({}, {__close = function()
          if i == 1 then error("clean-up", 0) end
        end})
        green.sleep(i == 1 and 1e6 or 0.1)
        error("first", 0)
      end, {1, 2})
      test.wait_until(function() return #errors == 1 end)
      green.sleep(0.1)
    end)
    assert.equal(1, #list)
    assert.equal("clean-up", list[1].err)
  end)

  it("is interrupted, and kills and joins its workers", function()
    local pool = green.pool(2)
    local t = green.spawn(pool.map, pool, green.sleep, {1e6, 1e6, 1e6})
    test.blocked(t)
    t:kill()
    assert.is_true(killed(select(2, t:join())))
    settled(pool, 2)
    assert.same({nil, "timeout"}, {green.with_timeout(1, pool.map, pool,
      green.sleep, {1e6, 1e6, 1e6})})
    settled(pool, 2)
  end)

  it("may be used by a worker of the pool, also of a pool of one", function()
    for size = 1, 3 do
      local pool = green.pool(size)
      local function double(x) green.sleep(0.01) return 2 * x end
      local function nested(n)
        local r = pool:map(double, {n, n + 1, n + 2})
        return r[1] + r[2] + r[3]
      end
      assert.same({12, 18, n = 2}, pool:map(nested, {1, 2}))
      settled(pool, size)
    end
  end)

  it("refuses misuse at the caller's line", function()
    local pool = green.pool(2)
    for _, name in ipairs {"map", "imap", "imap_unordered"} do
      local _, err = pcall(function() pool[name](pool, nil, {}) end)
      assert.matches("^%S*pool_spec.lua:%d+: bad argument #1 to '" .. name,
        err)
      for _, input in ipairs {7, "x", true} do
        local _, why = pcall(function() pool[name](pool, print, input) end)
        assert.matches("^%S*pool_spec.lua:%d+: bad argument #2 to '" .. name,
          why)
      end
      _, err = pcall(function() pool[name](print, {}) end)
      assert.matches("^%S*pool_spec.lua:%d+: calling '" .. name
        .. "' on bad self", err)
    end
  end)
end)

for _, name in ipairs {"imap", "imap_unordered"} do
  local ordered = name == "imap"

  describe("pool:" .. name, function()
    it("yields the place, then pcall's shape, for every item", function()
      local pool, seen = green.pool(3), {}
      for i, ok, a, b in pool[name](pool, function(x)
        green.sleep(math.random() / 10)
        if x == 3 then error("third", 0) end
        if x == 4 then return end
        return x, -x
      end, {1, 2, 3, 4, 5}) do
        if ordered then assert.equal(#seen + 1, i) end
        seen[#seen + 1] = i
        assert.equal(i ~= 3, ok)
        if i == 3 then
          assert.equal("third", a)
        elseif i == 4 then
          assert.is_nil(a)
        else
          assert.same({i, -i}, {a, b})
        end
      end
      table.sort(seen)
      assert.same({1, 2, 3, 4, 5}, seen)
      settled(pool, 3)
    end)

    it("reads nothing before the first step, and never more than the size "
      .. "ahead", function()
        for size = 1, 4 do
          local pool, read, taken = green.pool(size), 0, 0
          local function input(_, i)
            read = read + 1
            assert.is_true(read - taken <= size)
            if (i or 0) < 20 then return (i or 0) + 1 end
          end
          local f, s, c, closing = pool[name](pool, function(i)
            if math.random() < 0.5 then green.sleep(math.random() / 100) end
            return i
          end, input)
          green.sleep(0.1)
          assert.equal(0, read)
          for _, ok in f, s, c, closing do
            taken = taken + 1
            assert.is_true(ok)
            green.sleep(math.random(0, 1) / 100)
          end
          assert.equal(20, taken)
          settled(pool, size)
        end
      end)

    it("left early kills and joins the workers and closes the input",
      function()
        local pool, ended, closed = green.pool(3), 0, false
        local closing = setmetatable({}, {__close = function()
          closed = ended
        end})
        for _, ok in pool[name](pool, function(i) -- luacheck: ignore
          local _ <close> = setmetatable({}, {__close = function()
            if i > 1 then green.shield(1, green.sleep, 0.1) end
            ended = ended + 1
          end})
          green.sleep(i == 1 and 0.01 or 1e6)
        end, function(_, i) return (i or 0) + 1 end, nil, nil, closing) do
          assert.is_true(ok)
          break
        end
        assert.equal(3, ended)
        assert.equal(3, closed)
        settled(pool, 3)
      end)

    it("hands failures that nobody reads to on_error", function()
      local pool = green.pool(3)
      local list = help.collecting(function(errors)
        for i in pool[name](pool, function(x) -- luacheck: ignore
          if x == 1 then return end
          green.sleep(0.01)
          error(x, 0)
        end, {1, 2, 3}) do
          green.sleep(0.1)
          assert.is_truthy(i)
          break
        end
        test.wait_until(function() return #errors >= 2 end)
      end)
      assert.is_true(#list >= 2)
    end)

    it("that is dropped half-way hands failures to on_error", function()
      local pool, gate = green.pool(3), green.event()
      local list = help.collecting(function(errors)
        do
          local f, s = pool[name](pool, function(x)
            if x == 3 then gate:wait() end
            if x == 2 then green.sleep(0.01) end
            if x > 1 then error(x, 0) end
          end, {1, 2, 3})
          f(s)
          green.sleep(0.1)
        end
        collectgarbage()
        collectgarbage()
        gate:send()
        test.wait_until(function() return #errors >= 2 end)
      end)
      assert.is_true(#list >= 2)
      settled(pool, 3)
    end)

    it("raises an error of the input to the consumer, once", function()
      local pool, taken = green.pool(2), 0
      local ok, err = pcall(function()
        for _ in pool[name](pool, green.sleep, function(_, i)
          if i == 4 then error("input", 0) end
          return (i or 0) + 1
        end) do
          taken = taken + 1
        end
      end)
      assert.same({false, "input"}, {ok, err})
      assert.is_true(taken >= 2)
      settled(pool, 2)
    end)

    it("takes empty inputs, and iterators that block or are generators",
      function()
        local pool, n = green.pool(2), 0
        for _ in pool[name](pool, print, {}) do n = n + 1 end
        assert.equal(0, n)
        for _, ok, v in pool[name](pool, tostring, coroutine.wrap(function()
          for i = 1, 5 do
            green.sleep(0.01)
            coroutine.yield(i)
          end
        end)) do
          assert.is_true(ok and v ~= nil)
          n = n + 1
        end
        assert.equal(5, n)
        settled(pool, 2)
      end)

    it("is left by an interruption of the consumer", function()
      local pool = green.pool(2)
      local function consume()
        for _ in pool[name](pool, green.sleep, {0, 1e6, 1e6, 1e6}) do
          green.sleep(0)
        end
      end
      local t = test.blocked(green.spawn(consume))
      green.sleep(0.01)
      t:kill()
      assert.is_true(killed(select(2, t:join())))
      settled(pool, 2)
      assert.same({nil, "timeout"}, {green.with_timeout(1, consume)})
      settled(pool, 2)
    end)

    it("may be consumed by a worker of the pool, and by two at once",
      function()
        for size = 1, 3 do
          local pool = green.pool(size)
          local function consumer()
            local sum = 0
            for _, _, v in pool[name](pool, function(x)
              green.sleep(math.random() / 100)
              return x
            end, {1, 2, 3, 4, 5, 6}) do
              sum = sum + v
            end
            return sum
          end
          local a, b = pool:spawn(consumer), pool:spawn(consumer)
          local c, d = green.spawn(consumer), green.spawn(consumer)
          for _, t in ipairs {a, b, c, d} do assert.equal(21, t:wait()) end
          settled(pool, size)
        end
      end)

    it("shared by two readers gives each item to one of them", function()
      local pool, seen = green.pool(3), {}
      local f, s, _, closing = pool[name](pool, function(x)
        green.sleep(math.random() / 100)
        return x
      end, {1, 2, 3, 4, 5, 6, 7, 8, 9})
      local function read()
        for i, ok, v in f, s do
          assert(ok and i == v)
          seen[#seen + 1] = i
        end
      end
      local a, b = green.spawn(read), green.spawn(read)
      a:wait()
      b:wait()
      table.sort(seen)
      assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9}, seen)
      getmetatable(closing).__close(closing)
      settled(pool, 3)
    end)

    long("of 20,000 items needs no more memory than of 100", function()
      local pool = green.pool(10)
      local function memory()
        collectgarbage()
        collectgarbage()
        return collectgarbage("count")
      end
      local function run(n)
        local most = 0
        for i in pool[name](pool, tostring, function(_, i)
          if (i or 0) < n then return (i or 0) + 1 end
        end) do
          if i % 5000 == 0 then most = math.max(most, memory()) end
        end
        return math.max(most, memory())
      end
      run(5000)
      local few = run(5000)
      local many = run(20000)
      assert.is_true(many < few + 1000, many - few)
    end)
  end)
end

describe("the model of a pool", function()
  it("holds whatever is done to it", function()
    local size = math.random(1, 4)
    local pool, most = green.pool(size), size
    local gates, spawners, cos, alive = {}, {}, {}, {}
    local function check()
      assert(pool:running() <= most, "too many run")
    end
    local function worker(depth)
      check()
      alive[#alive + 1] = green.current()
      local gate = green.event()
      gates[#gates + 1] = gate
      if depth > 0 and math.random() < 0.3 then
        pool:spawn_n(worker, depth - 1)
      end
      if math.random() < 0.5 then
        gate:wait(math.random() / 10)
      else
        green.sleep(math.random(0, 20) / 1000)
      end
      if math.random() < 0.1 then error("on purpose", 0) end
    end
    local function spawner()
      cos[green.current()] = coroutine.running()
      local limit = math.random() < 0.3 and math.random() / 20 or nil
      green.with_timeout(limit, function()
        for _ = 1, math.random(3) do
          local t = pool:spawn(worker, 3)
          if math.random() < 0.3 then t:join() end
        end
      end)
    end
    local function one_of(list) return list[math.random(#list)] end
    local acts = {
      function() spawners[#spawners + 1] = green.spawn(spawner) end,
      function() spawners[#spawners + 1] = green.spawn(spawner) end,
      function() one_of(spawners):kill() end,
      function() one_of(spawners):throw("thrown") end,
      function()
        local t = one_of(spawners)
        local status = t:status()
        if cos[t] and (status == "blocked" or status == "ready") then
          pcall(coroutine.close, cos[t])
        end
      end,
      function() if #gates > 0 then
        local gate = one_of(gates)
        if not gate:ready() then gate:send() end
      end end,
      function() if #alive > 0 then one_of(alive):kill() end end,
      function()
        size = math.random(1, 4)
        most = math.max(pool:running(), size)
        pool:resize(size)
      end,
      function() green.sleep(math.random(0, 10) / 1000) end,
      function() if math.random() < 0.05 then pool:kill() end end,
      function() collectgarbage("step") end,
    }
    local former = green.on_error(function() end)
    local restore <close> = setmetatable({}, {__close = function()
      green.on_error(former)
    end})
    spawners[1] = green.spawn(spawner)
    for _ = 1, 300 do
      acts[math.random(#acts)]()
      check()
      most = math.max(size, pool:running())
    end
    for _, t in ipairs(spawners) do t:join() end
    settled(pool, size)
    green.sleep(0.001) -- for the reports
    assert.is_truthy(restore)
  end)
end)

describe("a worker of map", function()
  it("may look at its own handle, and drop it", function()
    local pool <close> = green.pool(4)
    local input = {}
    for i = 1, 3000 do input[i] = i end
    for _ = 1, 3 do
      local sum = 0
      for _, ok, v in pool:imap_unordered(function(i)
        assert(green.current():status() == "running")
        if i % 3 == 0 then green.sleep(0) end
        if i % 50 == 0 then collectgarbage("step", 1) end
        return i
      end, input) do
        assert(ok)
        sum = sum + v
      end
      assert.equal(3000 * 3001 // 2, sum)
    end
  end)

  it("whose handle is kept gives its result there, too", function()
    local handles = {}
    local results = green.pool(2):map(function(i)
      handles[i] = green.current()
      return i * i
    end, {1, 2, 3})
    assert.same({1, 4, 9, n = 3}, results)
    collectgarbage()
    for i, t in ipairs(handles) do
      assert.equal("done", t:status())
      assert.equal(i * i, t:wait())
    end
  end)

  it("that fails is told by its handle, which outlives the map", function()
    local failed
    local ok, err = pcall(green.pool(2).map, green.pool(2), function(i)
      failed = green.current()
      error("no " .. i, 0)
    end, {7})
    assert.is_false(ok)
    assert.equal("no 7", err)
    assert.same({false, "no 7"}, {failed:join()})
    assert.matches("pool_spec.lua:%d+: in function", failed:traceback())
  end)
end)
