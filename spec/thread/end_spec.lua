-- The end of green threads: their outcome, kills, throws and links.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("wait and join", function()
  help.both(it, "give the results, at once or later, as often as asked",
    function()
      local t = green.spawn(function() green.sleep(0) return 1, nil, 3 end)
      assert.same({n = 3, 1, nil, 3}, table.pack(t:wait()))
      assert.same({n = 4, true, 1, nil, 3}, table.pack(t:join()))
      assert.same({n = 3, 1, nil, 3}, table.pack(t:wait(0)))
      assert.equal("done", t:status())
    end)

  help.both(it, "raise and return the very error value", function()
    local err = {}
    local t = green.spawn(function() green.sleep(0) error(err) end)
    local ok, got = pcall(t.wait, t)
    assert.is_false(ok)
    assert.equal(err, got)
    assert.same({n = 2, false, err}, table.pack(t:join()))
    assert.equal("failed", t:status())
  end)

  help.both(it, "return nil, timeout when the limit is over, and harm nobody",
    function()
      local go = green.event()
      local t = green.spawn(function() go:wait() return "well" end)
      assert.same({nil, "timeout"}, {t:wait(0)})
      assert.same({nil, "timeout"}, {t:wait(-1)})
      local began = green.now()
      assert.same({nil, "timeout"}, {t:wait(0.002)})
      assert.is_true(green.now() - began >= 0.002)
      assert.same({nil, "timeout"}, {t:join(0.002)})
      go:send()
      assert.equal("well", t:wait())
    end)

  help.both(it, "wake all waiters, first come, first served", function()
    local order = {}
    local t = green.spawn(green.sleep, 0.005)
    local waiters = {}
    for i = 1, 10 do
      waiters[i] = green.spawn(function()
        if i % 2 == 0 then t:wait() else t:join() end
        order[#order + 1] = i
      end)
    end
    help.ended(table.unpack(waiters))
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, order)
  end)

  it("of oneself raise", function()
    green.spawn(function()
      local me = green.current()
      local ok, err = pcall(me.wait, me)
      assert.is_false(ok)
      assert.matches("itself", err)
      assert.is_false(pcall(me.join, me, 1))
      assert.is_false(pcall(me.join, me, 0))
    end):wait()
    local main = green.current()
    assert.is_false(pcall(main.join, main))
  end)

  it("raise on a limit that is NaN or no number", function()
    local t = green.spawn(function() end)
    assert.is_false(pcall(t.wait, t, 0 / 0))
    assert.is_false(pcall(t.join, t, "x"))
    t:wait()
  end)

  it("raise on something that is no green thread", function()
    local t = green.current()
    for _, what in ipairs {1, "x", {}, io.stdout} do
      local ok, err = pcall(t.join, what)
      assert.is_false(ok)
      assert.matches("green.thread expected", err)
    end
    assert.is_false(pcall(t.kill))
  end)

  it("on a killed thread: wait raises the kill object, join returns it",
    function()
      local t = green.spawn(green.sleep, 60)
      help.blocked(t)
      t:kill("enough")
      local ok, err = pcall(t.wait, t)
      assert.is_false(ok)
      assert.equal("killed", green.type(err))
      assert.equal("enough", err.reason)
      local _, again = t:join()
      assert.is_true(rawequal(err, again))
      assert.equal("killed", t:status())
    end)

  it("make a waiter that lets the kill object through fail, not be killed",
    function()
      local victim = green.spawn(green.sleep, 60)
      local waiter = green.spawn(victim.wait, victim)
      help.blocked(victim, waiter)
      victim:kill()
      waiter:join()
      assert.equal("failed", waiter:status())
    end)
end)

describe("kill", function()
  help.both(it, "marks, never switches, and raises at the blocking call",
    function()
      local seen
      local t = green.spawn(function()
        local ok, err = pcall(green.sleep, 60)
        seen = err
        assert(not ok)
        error(err, 0)
      end)
      help.blocked(t)
      assert.is_true(t:kill("why"))
      assert.is_nil(seen)
      local ok, err = t:join()
      assert.is_false(ok)
      assert.is_true(rawequal(err, seen))
      assert.equal("killed", green.type(err))
      assert.equal("killed", t:status())
    end)

  it("before the start means that it never runs", function()
    local ran = false
    local t = green.spawn(function() ran = true end)
    assert.is_true(t:kill("early"))
    assert.equal("killed", t:status())
    green.sleep(0)
    assert.is_false(ran)
    local _, err = t:join()
    assert.equal("early", err.reason)
  end)

  it("keeps the first reason; repeated and late ones are harmless", function()
    local t = green.spawn(green.sleep, 60)
    help.blocked(t)
    assert.is_true(t:kill(1))
    assert.is_true(t:kill(2))
    local _, err = t:join()
    assert.equal(1, err.reason)
    assert.is_false(t:kill(3))
    assert.equal(1, select(2, t:join()).reason)
  end)

  it("takes any value for a reason", function()
    local reason = {}
    local t = green.spawn(green.sleep, 60)
    t:kill(reason)
    assert.equal(reason, select(2, t:join()).reason)
    local t2 = green.spawn(green.sleep, 60)
    t2:kill()
    assert.is_nil(select(2, t2:join()).reason)
  end)

  it("says where it was called, and whom it killed", function()
    local t = green.spawn(green.sleep, 60)
    help.blocked(t)
    local line = debug.getinfo(1, "l").currentline + 1
    t:kill("x")
    local _, err = t:join()
    assert.matches("end_spec.lua:" .. line, err.where)
    assert.equal(t.id, err.thread)
  end)

  help.both(it, "strikes every later blocking call, even one that need not "
    .. "wait", function()
      local raised = 0
      local q = green.queue(5)
      q:put(1)
      local t = green.spawn(function()
        for _ = 1, 3 do
          local ok, err = pcall(green.sleep, 60)
          if not ok and green.type(err) == "killed" then raised = raised + 1 end
        end
        if not pcall(q.get, q) then raised = raised + 1 end
        if not pcall(q.put, q, 2) then raised = raised + 1 end
        return "ate it"
      end)
      help.blocked(t)
      t:kill()
      assert.equal("ate it", t:wait())
      assert.equal("done", t:status())
      assert.equal(5, raised)
      assert.equal(1, #q)
    end)

  it("of oneself marks, and strikes at the next blocking call", function()
    local went_on = false
    local t = green.spawn(function()
      assert(green.current():kill("me"))
      went_on = true
      green.sleep(0)
      error "not reached"
    end)
    local _, err = t:join()
    assert.is_true(went_on)
    assert.equal("me", err.reason)
    assert.equal("killed", t:status())
  end)

  it("is an outcome decided by how the function ends", function()
    local function run(f)
      local t = green.spawn(f)
      help.blocked(t)
      t:kill()
      local ok = t:join()
      return t:status(), ok
    end
    assert.same({"done", true}, {run(function() pcall(green.sleep, 60) end)})
    assert.same({"killed", false}, {run(function() green.sleep(60) end)})
    assert.same({"failed", false}, {run(function()
      pcall(green.sleep, 60)
      error "a bug in the clean-up"
    end)})
  end)

  it("gives the kill object to <close> variables, which may switch the error",
    function()
      local seen
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function(_, err)
          seen = err
        end})
        green.sleep(60)
      end)
      help.blocked(t)
      t:kill("x")
      t:join()
      assert.equal("killed", green.type(seen))
      local t2 = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          error("worse", 0)
        end})
        green.sleep(60)
      end)
      help.blocked(t2)
      t2:kill()
      assert.same({false, "worse"}, {t2:join()})
      assert.equal("failed", t2:status())
    end)

  it("is never reported to on_error", function()
    local list = help.collecting(function()
      local t = green.spawn(green.sleep, 60)
      help.blocked(t)
      t:kill()
      help.wait_until(function() return t:status() == "killed" end)
      local t2 = green.spawn(print)
      t2:kill()
      green.sleep(0)
      green.sleep(0)
    end)
    assert.same({}, list)
  end)

  it("reaches a thread inside its own nested coroutines", function()
    local seen
    local t = green.spawn(function()
      coroutine.wrap(function()
        coroutine.wrap(function()
          local ok, err = pcall(green.sleep, 60)
          seen = not ok and err
          error(err, 0)
        end)()
      end)()
    end)
    help.blocked(t)
    t:kill()
    assert.is_false((t:join()))
    assert.equal("killed", green.type(seen))
    assert.equal("killed", t:status())
  end)
end)

describe("throw", function()
  help.both(it, "raises any value once at the blocking call", function()
    local err = {}
    local seen
    local t = green.spawn(function()
      local _, e = pcall(green.sleep, 60)
      seen = e
      green.sleep(0)
      return "on"
    end)
    help.blocked(t)
    assert.is_true(t:throw(err))
    assert.is_nil(seen)
    assert.equal("on", t:wait())
    assert.is_true(rawequal(err, seen))
  end)

  it("returns false while an earlier one was not delivered", function()
    local t = green.spawn(function()
      local _, e = pcall(green.sleep, 60)
      return e
    end)
    help.blocked(t)
    assert.is_true(t:throw "a")
    assert.is_false(t:throw "b")
    assert.equal("a", t:wait())
  end)

  it("makes a thread that has not started fail with the value", function()
    local ran = false
    local list = help.collecting(function(list)
      local t = green.spawn(function() ran = true end)
      assert.is_true(t:throw "no")
      assert.equal("failed", t:status())
      assert.same({false, "no"}, {t:join()})
      help.wait_until(function() return #list == 1 end)
    end)
    assert.is_false(ran)
    assert.equal("no", list[1].err)
  end)

  it("does nothing to a thread that has ended", function()
    local t = green.spawn(function() end)
    t:wait()
    assert.is_false(t:throw "x")
    assert.equal("done", t:status())
  end)

  it("waits for the next blocking call when the thread computes", function()
    local t
    t = green.spawn(function()
      assert(green.current():throw "later")
      local before = "here"
      local ok, err = pcall(green.sleep, 0)
      return before, ok, err
    end)
    assert.same({"here", false, "later"}, {t:wait()})
  end)

  it("refuses to be called without a value", function()
    local t = green.spawn(function() end)
    assert.is_false(pcall(t.throw, t))
    t:wait()
  end)

  it("with nil raises nil", function()
    local t = green.spawn(function()
      return select("#", pcall(green.sleep, 60)), pcall(green.sleep, 0)
    end)
    help.blocked(t)
    assert.is_true(t:throw(nil))
    assert.same({2, true}, {t:wait()})
  end)
end)

describe("link", function()
  help.both(it, "runs f(t, ...) in a thread of its own, in link order",
    function()
      local order = {}
      local t = green.spawn(green.sleep, 0)
      for i = 1, 5 do
        t:link(function(who, a, b)
          assert(who == t and a == i and b == nil)
          assert(green.current() ~= t)
          green.sleep(0)
          order[#order + 1] = i
        end, i, nil)
      end
      t:wait()
      help.wait_until(function() return #order == 5 end)
      assert.same({1, 2, 3, 4, 5}, order)
    end)

  it("runs for every outcome", function()
    local seen = {}
    local function note(t) seen[#seen + 1] = t:status() end
    local done = green.spawn(function() end)
    local failed = green.spawn(error, "x")
    local killed = green.spawn(green.sleep, 60)
    local unborn = green.spawn(print)
    for _, t in ipairs {done, failed, killed, unborn} do t:link(note) end
    unborn:kill()
    help.blocked(killed)
    killed:kill()
    help.wait_until(function() return #seen == 4 end)
    table.sort(seen)
    assert.same({"done", "failed", "killed", "killed"}, seen)
  end)

  it("runs also when the thread had ended", function()
    local t = green.spawn(function() return 5 end)
    t:wait()
    local got
    t:link(function(who) got = who:wait() end)
    assert.is_nil(got)
    help.wait_until(function() return got end)
    assert.equal(5, got)
  end)

  it("isolates each: one that fails goes to on_error", function()
    local second = false
    local list = help.collecting(function(list)
      local t = green.spawn(function() end)
      t:link(error, "ignored")
      t:link(function() second = true end)
      help.wait_until(function() return second and #list == 1 end)
    end)
    assert.is_true(second)
    assert.equal("failed", list[1].thread:status())
  end)

  it("is a destination: on_error is not called", function()
    local got
    local list = help.collecting(function()
      local t = green.spawn(error, "mine", 0)
      t:link(function(who) got = select(2, who:join()) end)
      help.wait_until(function() return got end)
      green.sleep(0)
    end)
    assert.equal("mine", got)
    assert.same({}, list)
  end)

  it("is taken back by unlink, the first with that function", function()
    local calls = {}
    local function f(_, x) calls[#calls + 1] = x end
    local t = green.spawn(function() end)
    t:link(f, 1)
    t:link(f, 2)
    assert.is_true(t:unlink(f))
    assert.is_false(t:unlink(print))
    t:wait()
    help.wait_until(function() return #calls == 1 end)
    green.sleep(0)
    assert.same({2}, calls)
    assert.is_false(t:unlink(f))
  end)

  it("counts no more once it was taken back: the error is reported",
    function()
      local list = help.collecting(function(list)
        local t = green.spawn(error, "x", 0)
        t:link(print)
        assert.is_true(t:unlink(print))
        help.wait_until(function() return #list == 1 end)
      end)
      assert.equal("x", list[1].err)
    end)

  it("raises when it is given no callable", function()
    local t = green.spawn(function() end)
    assert.is_false(pcall(t.link, t, 5))
    t:wait()
    assert.is_false(pcall(t.link, t, 5))
  end)
end)

describe("a thread's handle in a <close> variable", function()
  it("kills and joins at every exit of the block", function()
    for _, how in ipairs {"end", "break", "return", "error"} do
      local t, closed
      local function body()
        for _ = 1, 1 do
          local x <close> = green.spawn(function()
            local _ <close> = setmetatable({}, {__close = function()
              closed = true
            end})
            green.sleep(60)
          end)
          t = x
          help.blocked(t)
          if how == "break" then break end
          if how == "return" then return end
          if how == "error" then error "out" end
        end
      end
      assert.equal(how ~= "error", (pcall(body)))
      assert.equal("killed", t:status())
      assert.is_true(closed)
    end
  end)

  it("never raises, and lets a failure go to on_error", function()
    local list = help.collecting(function(list)
      do
        local _ <close> = green.spawn(function()
          pcall(green.sleep, 60)
          error("late", 0)
        end)
        green.sleep(0)
      end
      help.wait_until(function() return #list == 1 end)
    end)
    assert.equal("late", list[1].err)
  end)

  it("joins although the closing thread is being killed", function()
    local inner
    local order = {}
    local outer = green.spawn(function()
      local x <close> = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(1, green.sleep, 0.002)
          order[#order + 1] = "inner closed"
        end})
        green.sleep(60)
      end)
      inner = x
      green.sleep(60)
    end)
    help.blocked(outer)
    outer:kill()
    outer:join()
    order[#order + 1] = "outer ended"
    assert.same({"inner closed", "outer ended"}, order)
    assert.equal("killed", inner:status())
    assert.equal("killed", outer:status())
  end)

  it("does nothing to the thread that closes itself", function()
    local t = green.spawn(function()
      do local _ <close> = green.current() end
      return green.interrupted()
    end)
    assert.is_nil(t:wait())
  end)
end)

describe("shutdown", function()
  it("kills all others and joins them", function()
    local closed = 0
    local ts = {}
    for i = 1, 5 do
      ts[i] = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(1, green.sleep, 0.001)
          closed = closed + 1
        end})
        green.sleep(60)
      end)
    end
    ts[6] = green.spawn_after(60, print)
    help.blocked(table.unpack(ts, 1, 5))
    assert.is_true(green.shutdown())
    assert.equal(5, closed)
    for _, t in ipairs(ts) do
      assert.equal("killed", t:status())
      assert.equal("shutdown", select(2, t:join()).reason)
    end
  end)

  it("returns nil, timeout when they take too long", function()
    local t = green.spawn(function()
      pcall(green.sleep, 60)
      green.shield(60, green.sleep, 0.02)
    end)
    help.blocked(t)
    assert.same({nil, "timeout"}, {green.shutdown(0.001)})
    assert.is_true(green.wait_others())
  end)
end)
