-- Pools: slots that workers lend to their children, and the model of a pool.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local pools = require "spec.pools"
local test = require "green.test"

local it = test.it(it)

local counter, settled = pools.counter, pools.settled

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
