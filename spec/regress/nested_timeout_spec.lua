-- A timeout made in a coroutine stood in the chain of the thread that made it.
-- green.deadline() counted it while it rested, and for ever after its coroutine
-- was collected; leaving a generator early left it there for the thread's life;
-- resuming the coroutine in another thread let it strike the first.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- A generator with a timeout of s seconds, which blocks between two values.
local function generator(s, blocks)
  return coroutine.wrap(function()
    local _ <close> = green.timeout(s)
    for i = 1, 1000 do
      coroutine.yield(i)
      if blocks then green.sleep(blocks) end
    end
  end)
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a timeout of a coroutine of one's own", function()
  help.both(it, "is not in force while it rests", function()
    local inside
    local co = coroutine.wrap(function()
      local _ <close> = green.timeout(60)
      inside = green.time_left()
      coroutine.yield()
      return green.time_left()
    end)
    co()
    assert.is_true(inside > 50)
    assert.is_nil(green.deadline())
    assert.is_nil(green.time_left())
    local outer <close> = green.timeout(100)
    assert.is_true(green.time_left() > 90 and outer.seconds == 100)
    assert.is_true(co() < 60)
  end)

  help.both(it, "is not in force after its time, nor when it is collected",
    function()
      local co = generator(0.001)
      co()
      green.sleep(0.005)
      assert.is_nil(green.deadline())
      green.sleep(0)
      co = nil -- luacheck: ignore
      collect()
      assert.is_nil(green.deadline())
      green.sleep(0)
    end)

  help.both(it, "tells when it was due while it strikes", function()
    local before = green.now()
    local _ <close> = green.timeout(0.001)
    local after = green.now()
    assert.is_false(pcall(green.sleep, 60))
    local made = green.deadline() - 0.001
    assert.is_true(made > before - 0.5 and made < after + 0.5)
    assert.equal(0, green.time_left())
  end)

  help.both(it, "is dropped with its coroutine, at any time", function()
    for _, s in ipairs {0.0001, 1000} do
      local kb = {}
      for i = 1, 3 do
        for _ = 1, 2000 do generator(s)() end
        collect()
        kb[i] = collectgarbage "count"
      end
      assert.is_true(kb[3] - kb[2] < 60, s)
    end
  end)

  help.both(it, "lives as long as its coroutine, though nobody has it",
    function()
      local co = coroutine.wrap(function()
        green.timeout(0.02)
        coroutine.yield()
        return pcall(green.sleep, 60)
      end)
      co()
      collect()
      local ok, err = co()
      assert.is_false(ok)
      assert.is_true(green.is_timeout(err))
    end)

  help.both(it, "strikes the thread that goes on with it, and no other",
    function()
      local values, struck, passed_on = generator(0.3, 0.002), nil, nil
      local a = green.spawn(function()
        for _ = 1, 3 do values() end
        passed_on = true
        green.sleep(0.4)
        return "unharmed"
      end)
      help.wait_until(function() return passed_on end)
      local b = green.spawn(function()
        local ok, err = pcall(function() while true do values() end end)
        struck = green.is_timeout(err)
        return ok
      end)
      assert.is_false(b:wait())
      assert.is_true(struck)
      assert.equal("unharmed", a:wait())
    end)

  help.both(it, "goes on when the thread that made it has ended", function()
    for _, s in ipairs {0.005, 0.03} do
      local values = generator(s, 0.002)
      green.spawn(values):join()
      green.sleep(0.01)
      local ok, err = green.spawn(function()
        while true do values() end
      end):join()
      assert.is_false(ok)
      assert.is_true(green.is_timeout(err))
    end
  end)

  help.both(it, "may be asked, restarted and cancelled between two threads",
    function()
      local to
      local co = coroutine.wrap(function()
        to = green.timeout(0.001)
        coroutine.yield()
        green.sleep(0.005)
        coroutine.yield "in time"
        return pcall(green.sleep, 60)
      end)
      green.spawn(co):join()
      green.sleep(0.005)
      assert.is_true(to:expired())
      to:restart(60)
      assert.is_false(to:expired())
      assert.equal("in time", green.spawn(co):wait())
      to:restart(0.001)
      local ok, err = green.spawn(co):wait()
      assert.is_false(ok)
      assert.equal(to, err)
      to:cancel()
      to:cancel()
      green.sleep(0)
    end)

  help.both(it, "counts by its place, wherever its coroutine goes", function()
    local co = coroutine.wrap(function()
      local outer <close>, _ = green.timeout(0.002, "outer")
      local inner <close>, _ = green.timeout(0.001, "inner")
      coroutine.yield(outer, inner)
      green.sleep(60)
    end)
    green.spawn(co):join()
    green.sleep(0.005)
    assert.same({false, "outer"}, {green.spawn(co):join()})
    co = coroutine.wrap(function()
      local outer <close>, _ = green.timeout(0.002, "outer")
      local inner <close>, _ = green.timeout(0.001, "inner")
      coroutine.yield(outer, inner)
      green.sleep(60)
    end)
    local a = green.spawn(function() co() green.sleep(0.05) end)
    green.sleep(0.005)
    assert.same({false, "outer"}, {green.spawn(co):join()})
    assert.same({true}, {a:join()})
  end)

  help.both(it, "is not left open by a coroutine that died", function()
    local slept
    local t = green.spawn(function()
      coroutine.resume(coroutine.create(function()
        green.shield(math.huge, error, "died in a shield")
      end))
      coroutine.resume(coroutine.create(function()
        local _ <close> = green.timeout(0.001)
        error "died in a timeout"
      end))
      green.sleep(0.01)
      slept = true
      green.sleep(60)
    end)
    help.wait_until(function() return slept and t:status() == "blocked" end)
    assert.equal("blocked", t:status())
    t:kill()
    t:join(5)
    assert.equal("killed", t:status())
  end)

  it("is closed by its finalizer, called by hand, and nothing else is",
    function()
      local gc
      coroutine.wrap(function()
        local to = green.timeout(60)
        gc = getmetatable(to).__gc
        gc(to)
        assert.is_nil(green.deadline())
        gc(to)
      end)()
      gc(nil)
      gc(io.stdout)
      gc(green.event())
      gc("x")
      local to <close> = green.timeout(60)
      assert.is_nil(getmetatable(to).__gc)
    end)
end)
