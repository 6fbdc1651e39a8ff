-- Pools: how many run at once, the order of waiters, and the end of a pool.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local pools = require "spec.pools"
local test = require "green.test"

local it, fifo = test.it(it), test.it(it, {order = "fifo"})

local at_rest, settled = pools.at_rest, pools.settled
local counter, killed = pools.counter, pools.killed

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
