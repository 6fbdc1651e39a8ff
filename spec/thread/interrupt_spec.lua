-- Interruptions: timeouts, shields, and the order in which they strike.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- The error of a blocking call, or nil.
local function strike(f, ...)
  local ok, err = pcall(f or green.sleep, ...)
  if not ok then return err end
end

describe("green.timeout", function()
  help.both(it, "raises itself at the blocking call, never early", function()
    local began = green.now()
    local later = green.timeout(60)
    assert.equal("timeout", green.type(later))
    assert.is_false(later:expired())
    later:cancel()
    local to = green.timeout(0.005)
    assert.equal(to, strike(green.sleep, 60))
    assert.is_true(green.now() - began >= 0.005)
    assert.is_true(to:expired())
    to:cancel()
  end)

  help.both(it, "raises again and again until it is cancelled", function()
    local to = green.timeout(0.001)
    for _ = 1, 5 do assert.equal(to, strike(green.sleep, 60)) end
    assert.equal(to, strike(green.sleep, 0))
    to:cancel()
    assert.is_nil(strike(green.sleep, 0))
    assert.is_true(to:expired())
  end)

  help.both(it, "strikes also calls that need not wait", function()
    local q, e = green.queue(3), green.event()
    q:put(1)
    e:send(1)
    local t = green.spawn(function() end)
    t:wait()
    local to = green.timeout(0)
    assert.equal(to, strike(green.sleep, 60))
    assert.equal(to, strike(q.get, q))
    assert.equal(to, strike(q.put, q, 2))
    assert.equal(to, strike(e.wait, e))
    assert.equal(to, strike(t.wait, t))
    assert.equal(to, strike(t.join, t))
    assert.equal(to, strike(green.wait_others))
    assert.equal(1, #q)
    to:cancel()
  end)

  it("belongs to the thread that made it", function()
    local to = green.timeout(0.001)
    local t = green.spawn(function()
      green.sleep(0.005)
      return "untouched"
    end)
    assert.equal(to, strike(t.wait, t))
    to:cancel()
    assert.equal("untouched", t:wait())
  end)

  it("is disarmed at the end of its block by <close>", function()
    help.leaves_nothing(function()
      do local _ <close> = green.timeout(0.001) end
      green.sleep(0.003)
      do
        local to <close> = green.timeout(0.001)
        assert.equal(to, strike(green.sleep, 60))
      end
    end)
  end)

  it("is disarmed when its thread ends", function()
    help.leaves_nothing(function()
      local to
      green.spawn(function() to = green.timeout(60) end):wait()
      to:cancel()
      to = nil -- luacheck: ignore
    end)
  end)

  it("raises the given error in its place", function()
    local err = {}
    local to <close> = green.timeout(0.001, err)
    assert.equal(err, strike(green.sleep, 60))
    assert.equal(err, green.interrupted())
    assert.is_true(to:expired())
    do
      local inner <close> = green.timeout(60, "text")
      assert.equal(err, strike(green.sleep, 60))
      assert.is_false(inner:expired())
    end
  end)

  it("refuses false as an error, naming with_timeout, and NaN", function()
    local ok, err = pcall(green.timeout, 1, false)
    assert.is_false(ok)
    assert.matches("with_timeout", err)
    assert.is_false(pcall(green.timeout, 0 / 0))
    assert.is_false(pcall(green.timeout, "x"))
  end)

  it("without seconds, or with infinitely many, never strikes", function()
    for _, s in ipairs {math.huge, "nil"} do
      local to <close> = green.timeout(s ~= "nil" and s or nil)
      green.sleep(0.001)
      assert.is_nil(green.deadline())
      assert.is_false(to:expired())
    end
  end)

  it("of 0 or less strikes at the next blocking call that would wait",
    function()
      for _, s in ipairs {0, -1} do
        local to <close> = green.timeout(s)
        assert.equal(to, strike(green.sleep, 60))
      end
    end)

  it("shows its seconds and where it was set", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local to <close> = green.timeout(5)
    assert.equal(5, to.seconds)
    assert.matches("interrupt_spec.lua:" .. line .. "$", to.where)
    assert.equal(green.current().id, to.thread)
    assert.equal("timeout: 5 s, set at " .. to.where, tostring(to))
    assert.equal("failed: " .. tostring(to), "failed: " .. to)
    assert.equal(tostring(to) .. "!", to .. "!")
    assert.is_nil(to.nonsense)
  end)

  it("may be cancelled twice", function()
    local to = green.timeout(1)
    to:cancel()
    to:cancel()
  end)

  it("may be restarted, from now, also after it expired", function()
    local to <close> = green.timeout(0.001)
    assert.equal(to, strike(green.sleep, 60))
    to:restart(60)
    assert.is_false(to:expired())
    assert.equal(60, to.seconds)
    assert.is_nil(strike(green.sleep, 0))
    local began = green.now()
    to:restart(0.003)
    assert.equal(to, strike(green.sleep, 60))
    assert.is_true(green.now() - began >= 0.003)
    to:restart(60)
    assert.is_true(green.time_left() > 50)
    to:cancel()
    to:restart(0.001)
    assert.equal(to, strike(green.sleep, 60))
  end)

  it("restarted before it expired strikes later", function()
    local began = green.now()
    local to <close> = green.timeout(0.002)
    to:restart(0.01)
    assert.equal(to, strike(green.sleep, 60))
    assert.is_true(green.now() - began >= 0.01)
  end)

  help.both(it, "and any other interruption lets a result that came in the "
    .. "same turn through, and strikes at the next call", function()
      local q = green.queue()
      local t = green.spawn(function()
        return q:get(), strike(green.sleep, 0)
      end)
      help.blocked(t)
      q:put("item")
      t:throw("x")
      assert.same({"item", "x"}, {t:wait()})
    end)

  it("many at once strike each its own thread", function()
    local ts = {}
    for i = 1, 200 do
      ts[i] = green.spawn(function()
        local to <close> = green.timeout((i % 7) * 0.001)
        return strike(green.sleep, 60) == to
      end)
    end
    for _, t in ipairs(ts) do assert.is_true(t:wait()) end
  end)
end)

describe("nested timeouts", function()
  help.both(it, "strike inner first if it expires first", function()
    local outer <close> = green.timeout(60)
    do
      local inner <close> = green.timeout(0.001)
      assert.equal(inner, strike(green.sleep, 60))
    end
    assert.is_nil(strike(green.sleep, 0))
    assert.is_false(outer:expired())
  end)

  help.both(it, "strike outer first when both are over", function()
    local outer <close> = green.timeout(60)
    local inner <close> = green.timeout(0.001)
    assert.equal(inner, strike(green.sleep, 60))
    outer:restart(0.001)
    repeat local err = strike(green.sleep, 0) until err == outer
    assert.is_true(inner:expired())
    outer:cancel()
    assert.equal(inner, strike(green.sleep, 0))
  end)

  it("may be closed in any order", function()
    local a, b, c = green.timeout(60), green.timeout(60), green.timeout(0.001)
    b:cancel()
    assert.equal(c, strike(green.sleep, 60))
    a:cancel()
    assert.equal(c, strike(green.sleep, 60))
    c:cancel()
    assert.is_nil(strike(green.sleep, 0))
    assert.is_nil(green.deadline())
  end)

  it("give way to a kill, however old they are", function()
    local t = green.spawn(function()
      local to <close> = green.timeout(0.001)
      local first = strike(green.sleep, 60)
      green.current():kill("k")
      local second = strike(green.sleep, 60)
      return first == to, green.type(second)
    end)
    assert.same({true, "killed"}, {t:wait()})
  end)

  it("go before a throw", function()
    local t = green.spawn(function()
      local to <close> = green.timeout(0)
      strike(green.sleep, 60)
      green.current():throw "thrown"
      local first = strike(green.sleep, 60)
      to:cancel()
      return first == to, strike(green.sleep, 60), strike(green.sleep, 0)
    end)
    assert.same({true, "thrown"}, {t:wait()})
  end)
end)

describe("with_timeout", function()
  help.both(it, "returns f's results when it is done in time", function()
    assert.same({n = 3, 1, nil, 3}, table.pack(
      green.with_timeout(60, function(...) green.sleep(0) return ... end,
        1, nil, 3)))
    assert.is_nil(green.deadline())
  end)

  help.both(it, "returns nil, timeout for its own expiry only", function()
    assert.same({nil, "timeout"}, {green.with_timeout(0.001, green.sleep, 60)})
    local outer <close> = green.timeout(0.001)
    assert.equal(outer, strike(green.with_timeout, 60, green.sleep, 60))
  end)

  it("never turns a kill into a timeout", function()
    local t = green.spawn(function()
      return green.with_timeout(0.001, function()
        strike(green.sleep, 60)
        green.current():kill "k"
        green.sleep(60)
      end)
    end)
    local ok, err = t:join()
    assert.is_false(ok)
    assert.equal("killed", green.type(err))
  end)

  it("returns f's results although it expired, if f swallowed that", function()
    assert.equal("late", (green.with_timeout(0.001, function()
      strike(green.sleep, 60)
      return "late"
    end)))
  end)

  it("lets f's own errors pass, of any type", function()
    local err = {}
    assert.equal(err, strike(green.with_timeout, 60, error, err))
    assert.equal(help.raised_nil,
      select(2, pcall(green.with_timeout, 60, error, nil)))
    assert.is_nil(green.deadline())
  end)

  it("nested converts exactly one", function()
    local inner, outer
    outer = {green.with_timeout(0.05, function()
      inner = {green.with_timeout(0.001, green.sleep, 60)}
      green.sleep(60)
    end)}
    assert.same({nil, "timeout"}, inner)
    assert.same({nil, "timeout"}, outer)
  end)

  it("takes no limit at all", function()
    assert.equal(5, (green.with_timeout(nil, function()
      green.sleep(0)
      return 5
    end)))
    assert.equal(5, (green.with_timeout(math.huge, function() return 5 end)))
  end)

  it("of 0 cuts f off where it would wait", function()
    local reached
    assert.same({nil, "timeout"}, {green.with_timeout(0, function()
      reached = true
      green.sleep(60)
    end)})
    assert.is_true(reached)
  end)

  it("runs inside a generator", function()
    local gen = coroutine.wrap(function()
      coroutine.yield((select(2, green.with_timeout(0.001, green.sleep, 60))))
      coroutine.yield(green.with_timeout(60, function()
        coroutine.yield "from inside"
        return "after"
      end))
    end)
    assert.equal("timeout", gen())
    assert.equal("from inside", gen())
    assert.equal("after", gen())
  end)
end)

describe("shield", function()
  help.both(it, "holds a kill back, which strikes afterwards", function()
    local steps = {}
    local t = green.spawn(function()
      local a, b = green.shield(60, function(...)
        green.sleep(0.002)
        steps[#steps + 1] = "inside"
        return ...
      end, 1, 2)
      steps[#steps + 1] = a + b
      green.sleep(0)
      steps[#steps + 1] = "not reached"
    end)
    help.blocked(t)
    t:kill()
    t:join()
    assert.same({"inside", 3}, steps)
    assert.equal("killed", t:status())
  end)

  it("holds an outer timeout back, and not one made inside", function()
    local outer <close> = green.timeout(0.001)
    green.shield(60, function()
      green.sleep(0.003)
      assert.is_nil(green.interrupted())
      assert.same({nil, "timeout"},
        {green.with_timeout(0.001, green.sleep, 60)})
    end)
    assert.equal(outer, strike(green.sleep, 0))
  end)

  it("lets what it held back show again when its time is over", function()
    local t = green.spawn(function()
      local began = green.now()
      local err = strike(green.shield, 0.005, green.sleep, 60)
      return green.type(err), green.now() - began >= 0.005
    end)
    help.blocked(t)
    t:kill()
    assert.same({"killed", true}, {t:wait()})
  end)

  it("never cuts f when nothing is held back", function()
    assert.equal("ok", green.shield(0.001, function()
      green.sleep(0.004)
      return "ok"
    end))
  end)

  it("takes config.grace when no time is given", function()
    help.with_config({grace = 0.005}, function()
      local t = green.spawn(function()
        local began = green.now()
        local err = strike(green.shield, nil, green.sleep, 60)
        return green.type(err), green.now() - began >= 0.005
      end)
      help.blocked(t)
      t:kill()
      assert.same({"killed", true}, {t:wait()})
    end)
  end)

  it("of infinite time is allowed", function()
    local t = green.spawn(function()
      green.shield(math.huge, green.sleep, 0.003)
      return "whole"
    end)
    help.blocked(t)
    t:kill()
    assert.equal("whole", t:wait())
  end)

  it("passes errors on", function()
    local err = {}
    assert.equal(err, strike(green.shield, 1, error, err))
    local t = green.spawn(function()
      green.current():kill()
      return strike(green.shield, 1, error, err), strike(green.sleep, 0)
    end)
    local got, struck = t:wait()
    assert.equal(err, got)
    assert.equal("killed", green.type(struck))
  end)

  it("may be nested", function()
    local t = green.spawn(function()
      green.current():kill()
      green.shield(60, function()
        green.shield(60, green.sleep, 0)
        green.sleep(0)
      end)
      return "through"
    end)
    assert.equal("through", t:wait())
  end)

  it("cannot be left by a coroutine.yield inside a generator", function()
    local co = coroutine.create(function()
      green.shield(60, coroutine.yield, 1)
    end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("yield across a C%-call boundary", err)
    local t = green.spawn(function()
      green.current():kill()
      return green.type(strike(green.sleep, 0))
    end)
    assert.equal("killed", t:wait())
  end)

  it("gives clean-up in <close> time to block", function()
    local done
    local t = green.spawn(function()
      local _ <close> = setmetatable({}, {__close = function()
        green.shield(60, function()
          green.sleep(0.002)
          done = true
        end)
      end})
      green.sleep(60)
    end)
    help.blocked(t)
    t:kill()
    t:join()
    assert.is_true(done)
    assert.equal("killed", t:status())
  end)
end)

describe("green.pcall", function()
  it("is pcall for errors of one's own", function()
    assert.same({n = 4, true, 1, nil, 3},
      table.pack(green.pcall(function(...) return ... end, 1, nil, 3)))
    local err = {}
    assert.same({false, err}, {green.pcall(error, err)})
    assert.same(table.pack(false, help.raised_nil),
      table.pack(green.pcall(error, nil)))
  end)

  it("lets a pending interruption through", function()
    local t = green.spawn(function()
      green.pcall(green.sleep, 60)
      error "not reached"
    end)
    help.blocked(t)
    t:kill()
    t:join()
    assert.equal("killed", t:status())
    local to <close> = green.timeout(0.001)
    assert.equal(to, strike(green.pcall, green.sleep, 60))
  end)

  it("returns an interruption that is over", function()
    local mine
    local ok, err = green.pcall(function()
      local to <close> = green.timeout(0.001)
      mine = to
      green.sleep(60)
    end)
    assert.is_false(ok)
    assert.is_true(rawequal(err, mine))
  end)

  it("returns a throw, which strikes but once", function()
    local t = green.spawn(function() return green.pcall(green.sleep, 60) end)
    help.blocked(t)
    t:throw "x"
    assert.same({false, "x"}, {t:wait()})
  end)
end)

describe("green.interrupted", function()
  it("tells what is pending and changes nothing", function()
    assert.is_nil(green.interrupted())
    local t = green.spawn(function()
      green.current():throw "x"
      local a, b = green.interrupted(), green.interrupted()
      local c = strike(green.sleep, 0)
      return a, b, c, green.interrupted()
    end)
    assert.same({"x", "x", "x"}, {t:wait()})
    t = green.spawn(function()
      green.current():kill "r"
      local k = green.interrupted()
      return rawequal(k, strike(green.sleep, 0)),
        green.shield(1, green.interrupted)
    end)
    assert.same({true, nil}, {t:wait()})
    local to <close> = green.timeout(0.001)
    local err = strike(green.sleep, 60)
    assert.equal(to, err)
    assert.equal(to, green.interrupted())
  end)

  it("never switches", function()
    local ran
    green.spawn(function() ran = true end)
    for _ = 1, 1000 do green.interrupted() end
    assert.is_nil(ran)
    green.sleep(0)
  end)
end)

describe("green.deadline", function()
  it("is a point in time, as green.now()", function()
    assert.is_nil(green.deadline())
    local now = green.now()
    local _ <close> = green.timeout(60)
    assert.is_true(green.deadline() >= now + 60)
    assert.is_true(green.deadline() <= green.now() + 60)
    local t = green.spawn(green.sleep, 60)
    help.blocked(t)
    assert.is_true(t:blocked().deadline <= green.now() + 60)
    t:kill()
  end)
end)

describe("green.time_left", function()
  it("is the time to the nearest timeout in force", function()
    assert.is_nil(green.time_left())
    local _ <close> = green.timeout(60)
    assert.is_true(green.time_left() <= 60 and green.time_left() > 30)
    do
      local _ <close> = green.timeout(10)
      assert.is_true(green.time_left() <= 10)
      green.shield(60, function()
        assert.is_nil(green.time_left())
        local _ <close> = green.timeout(20)
        assert.is_true(green.time_left() > 10)
      end)
    end
    assert.is_true(green.time_left() > 30)
    do
      local to <close> = green.timeout(0.001)
      assert.equal(to, strike(green.sleep, 60))
      assert.equal(0, green.time_left())
    end
    assert.is_nil(green.spawn(green.time_left):wait())
  end)
end)

describe("green.is_timeout", function()
  it("is true for any timeout object and for the string", function()
    local to = green.timeout(1)
    to:cancel()
    assert.is_true(green.is_timeout(to))
    assert.is_true(green.is_timeout "timeout")
    for _, x in ipairs {"closed", 5, {}, print, true} do
      assert.is_false(green.is_timeout(x))
    end
    assert.is_false(green.is_timeout(nil))
  end)
end)

describe("a limit", function()
  it("ends a wait, and leaves the thread and the awaited thing unharmed",
    function()
      local e = green.event()
      assert.same({nil, "timeout"}, {e:wait(0.001)})
      assert.is_nil(green.interrupted())
      e:send(4)
      assert.equal(4, e:wait(0.001))
    end)

  help.both(it, "inside a timeout: whichever is over first", function()
    local q = green.queue()
    local to <close> = green.timeout(0.02)
    assert.same({nil, "timeout"}, {q:get(0.001)})
    assert.equal(to, strike(q.get, q, 60))
    assert.same({nil, "timeout"}, {q:get(0)})
  end)
end)

describe("a timeout made inside a generator", function()
  local function generator(seconds)
    return coroutine.wrap(function()
      local to <close> = green.timeout(seconds)
      coroutine.yield(to)
      coroutine.yield(strike(green.sleep, 60))
    end)
  end

  for _, where in ipairs {"main", "a spawned thread"} do
    local wrap = where == "main" and function(f) return f end or help.threaded
    it("rests while the generator is suspended, in " .. where, wrap(function()
      local gen = generator(0.001)
      local to = gen()
      green.sleep(0.004)
      assert.is_nil(strike(green.sleep, 0))
      assert.is_nil(green.interrupted())
      assert.equal(to, gen())
      assert.is_nil(strike(green.sleep, 0))
      gen()
      assert.is_nil(strike(green.sleep, 0))
    end))
  end

  it("strikes in it also through a nested one", function()
    local gen = coroutine.wrap(function()
      local to <close> = green.timeout(0.001)
      local inner = coroutine.wrap(function()
        coroutine.yield(strike(green.sleep, 60))
      end)
      coroutine.yield(rawequal(inner(), to))
    end)
    assert.is_true(gen())
  end)

  it("never strikes when the generator was dropped or closed", function()
    do generator(0.001)() end
    collectgarbage()
    collectgarbage()
    local co = coroutine.create(function()
      local _ = green.timeout(0.001)
      coroutine.yield()
    end)
    coroutine.resume(co)
    coroutine.close(co)
    local dead = coroutine.create(function() return green.timeout(0.001) end)
    coroutine.resume(dead)
    green.sleep(0.004)
    assert.is_nil(strike(green.sleep, 0))
  end)
end)
