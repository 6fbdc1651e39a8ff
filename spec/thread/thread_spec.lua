-- Green threads: their beginning, their outcome, and questions about them.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("spawn", function()
  help.both(it, "starts at the spawner's next switch, in spawn order",
    function()
      local order = {}
      for i = 1, 20 do
        green.spawn(function() order[#order + 1] = i end)
      end
      assert.same({}, order)
      green.sleep(0)
      assert.equal(20, #order)
      for i = 1, 20 do assert.equal(i, order[i]) end
    end)

  it("passes its arguments, nils and all", function()
    local t = green.spawn(function(...) return select("#", ...), ... end,
      nil, 2, nil)
    local n, a, b, c = t:wait()
    assert.same({3, nil, 2, nil}, {n, a, b, c})
    assert.equal(0, green.spawn(function(...)
      return select("#", ...)
    end):wait())
  end)

  it("passes many arguments and many results", function()
    local list = {}
    for i = 1, 200 do list[i] = i end
    local got = {green.spawn(function(...)
      green.sleep(0)
      return ...
    end, table.unpack(list)):wait()}
    assert.same(list, got)
  end)

  it("takes any callable", function()
    local object = setmetatable({}, {__call = function(self, x)
      green.sleep(0)
      return self, x
    end})
    local me, x = green.spawn(object, 5):wait()
    assert.equal(object, me)
    assert.equal(5, x)
    assert.equal("table", green.spawn(type, {}):wait())
  end)

  it("raises at once when it is given no callable, and names the argument",
    function()
      for _, name in ipairs {"spawn", "spawn_n"} do
        local ok, err = pcall(green[name], 42)
        assert.is_false(ok)
        assert.matches("bad argument #1 to '[%w.]*" .. name .. "'", err)
        assert.is_false(pcall(green[name]))
        assert.is_false(pcall(green[name], {}))
      end
      local ok, err = pcall(green.spawn_after, 1, nil)
      assert.is_false(ok)
      assert.matches("#2", err)
      assert.is_false(pcall(green.spawn_after_local, 1, 42))
    end)

  it("returns the same handle that current() gives inside", function()
    local inside
    local t = green.spawn(function() inside = green.current() end)
    t:wait()
    assert.equal(t, inside)
    assert.equal("thread", green.type(t))
  end)

  it("never switches", function()
    local ran = false
    green.spawn(function() ran = true end)
    for _ = 1, 1000 do green.spawn(function() end) end
    assert.is_false(ran)
    green.sleep(0)
    assert.is_true(ran)
  end)

  it("may be called from a thread that was just spawned, in turn", function()
    local order = {}
    local function say(x) order[#order + 1] = x end
    green.spawn(function()
      say "a"
      green.spawn(say, "c")
    end)
    green.spawn(say, "b")
    green.sleep(0)
    green.sleep(0)
    assert.same({"a", "b", "c"}, order)
  end)

  it("runs threads by the ten thousand", function()
    local n = 0
    local ts = {}
    for i = 1, 10000 do
      ts[i] = green.spawn(function()
        green.sleep(0)
        n = n + 1
        return i
      end)
    end
    for i = 1, 10000 do assert(ts[i]:wait() == i) end
    assert.equal(10000, n)
  end)
end)

describe("spawn_n", function()
  it("gives no handle, and runs in order with the others", function()
    local order = {}
    local function say(x) order[#order + 1] = x end
    assert.equal(0, select("#", green.spawn_n(say, 1)))
    green.spawn(say, 2)
    green.spawn_n(say, 3)
    green.sleep(0)
    assert.same({1, 2, 3}, order)
  end)

  it("sends its error to on_error at once", function()
    local err = {}
    local list = help.collecting(function(list)
      green.spawn_n(error, err)
      help.wait_until(function() return #list == 1 end)
    end)
    assert.equal(err, list[1].err)
    assert.equal("failed", list[1].thread:status())
  end)
end)

describe("spawn_after", function()
  it("starts no earlier than it was told", function()
    local began = green.now()
    local t = green.spawn_after(0.02, function(x) return green.now(), x end, 7)
    assert.equal("new", t:status())
    local at, x = t:wait()
    assert.is_true(at - began >= 0.02)
    assert.equal(7, x)
  end)

  it("starts at the next switch when the time is 0 or less", function()
    local order = {}
    green.spawn(function() order[#order + 1] = 1 end)
    green.spawn_after(0, function() order[#order + 1] = 2 end)
    green.spawn_after(-3, function() order[#order + 1] = 3 end)
    green.sleep(0)
    assert.same({1, 2, 3}, order)
  end)

  it("is taken back by cancel before it started", function()
    help.leaves_nothing(function()
      local ran = false
      local t = green.spawn_after(0.01, function() ran = true end)
      assert.is_true(t:cancel())
      assert.equal("killed", t:status())
      local ok, err = t:join()
      assert.is_false(ok)
      assert.equal("killed", green.type(err))
      assert.equal("cancelled", err.reason)
      green.sleep(0.02)
      assert.is_false(ran)
      t, err = nil, nil -- luacheck: ignore
    end)
  end)

  it("is not touched by cancel after it started", function()
    local t = green.spawn(function() green.sleep(0) return "done" end)
    help.wait_until(function() return t:status() ~= "new" end)
    assert.is_false(t:cancel())
    assert.equal("done", t:wait())
    assert.is_false(t:cancel())
    assert.equal("done", t:wait())
  end)

  it("takes an infinite time for never, and raises on NaN", function()
    local t = green.spawn_after(math.huge, error, "never")
    green.sleep(0)
    assert.equal("new", t:status())
    assert.is_true(t:cancel())
    assert.is_false(pcall(green.spawn_after, 0 / 0, print))
  end)
end)

describe("spawn_after_local", function()
  it("runs while its spawner lives", function()
    local ran = false
    local t = green.spawn_after_local(0.001, function() ran = true end)
    t:wait()
    assert.is_true(ran)
  end)

  it("is cancelled when its spawner ends first, however it ends", function()
    for _, ending in ipairs {"return", "error", "kill"} do
      local ran, child = 0, nil
      local t = green.spawn(function()
        child = green.spawn_after_local(0.01, function() ran = ran + 1 end)
        if ending == "error" then error "over" end
        if ending == "kill" then green.sleep(60) end
      end)
      if ending == "kill" then
        help.blocked(t)
        t:kill()
      end
      t:join()
      assert.equal("killed", child:status())
      green.sleep(0.02)
      assert.equal(0, ran)
    end
  end)

  it("forgets those that have run", function()
    local n = 0
    green.spawn(function()
      for _ = 1, 100 do
        green.spawn_after_local(0, function() n = n + 1 end)
        green.sleep(0)
      end
      green.sleep(0)
    end):wait()
    assert.equal(100, n)
  end)
end)

describe("a green thread's identity", function()
  it("is one handle: == and as a key of a table", function()
    local t = green.spawn(function() green.sleep(0) return green.current() end)
    local keyed = {[t] = "here"}
    assert.equal(t, green.find_thread(t.id))
    local me = t:wait()
    assert.equal("here", keyed[me])
    assert.is_nil(green.find_thread(t.id))
  end)

  it("has an id that is never used again", function()
    local seen = {}
    for _ = 1, 200 do
      local t = green.spawn(function() end)
      assert.is_nil(seen[t.id])
      assert.equal("integer", math.type(t.id))
      seen[t.id] = true
      t:wait()
    end
  end)

  it("survives the collector while the thread lives", function()
    local id
    do
      local t = green.spawn(function()
        green.sleep(0)
        green.sleep(0)
        return green.current().id
      end)
      id = t.id
    end
    collectgarbage()
    collectgarbage()
    assert.equal(id, green.find_thread(id):wait())
  end)

  it("has the place of its function as a name until it is given one",
    function()
      local line = debug.getinfo(1, "l").currentline + 1
      local t = green.spawn(function() green.sleep(0) end)
      assert.matches("thread_spec.lua:" .. line .. "$", t.name)
      green.sleep(0)
      assert.matches("thread_spec.lua:" .. line .. "$", t.name)
      t.name = "heartbeat"
      assert.equal("heartbeat", t.name)
      assert.matches("#" .. t.id .. " heartbeat", tostring(t), 1, true)
      t:wait()
      assert.equal("heartbeat", t.name)
    end)

  it("keeps its name when it has ended", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local function f(how) if how then error(how) end end
    local done, failed = green.spawn(f), green.spawn(f, "x")
    local killed = green.spawn(f)
    killed:kill()
    help.ended(failed, done, killed)
    for _, t in ipairs {done, failed, killed} do
      assert.matches("thread_spec.lua:" .. line .. "$", t.name)
    end
  end)

  it("refuses to be given other fields, or a name that is no string",
    function()
      local t = green.current()
      assert.is_false(pcall(function() t.color = "red" end))
      assert.is_false(pcall(function() t.id = 4 end))
      assert.is_false(pcall(function() t.name = {} end))
      assert.is_nil(t.color)
    end)

  it("is #1 main for the main Lua thread", function()
    assert.equal(1, green.current().id)
    assert.equal("main", green.current().name)
    assert.equal("running", green.current():status())
  end)
end)

describe("green.threads", function()
  it("lists the live threads by id", function()
    local a = green.spawn(green.sleep, 60)
    local b = green.spawn_after(60, print)
    local gone = green.spawn(function() end)
    help.blocked(a)
    local list, places = green.threads(), {}
    for i, t in ipairs(list) do
      places[t] = i
      if i > 1 then assert.is_true(list[i - 1].id < t.id) end
    end
    assert.truthy(places[green.current()])
    assert.truthy(places[a])
    assert.truthy(places[b])
    assert.is_nil(places[gone])
    a:kill()
    b:kill()
    a:join()
  end)

  it("allows to kill all but oneself in a loop", help.threaded(function()
    local ts = {}
    for i = 1, 10 do ts[i] = green.spawn(green.sleep, 60) end
    help.blocked(table.unpack(ts))
    for _, t in ipairs(ts) do t:kill() end
    for _, t in ipairs(ts) do assert.is_false((t:join())) end
  end))

  it("gives nil for an id that nobody has", function()
    assert.is_nil(green.find_thread(0))
    assert.is_nil(green.find_thread(-1))
    assert.is_nil(green.find_thread(1 << 40))
    assert.is_false(pcall(green.thread, "x"))
  end)
end)

describe("sleep", function()
  help.both(it, "never ends early", function()
    for _, s in ipairs {0.0001, 0.001, 0.0015, 0.01} do
      local began = green.now()
      green.sleep(s)
      assert.is_true(green.now() - began >= s)
    end
  end)

  help.both(it, "gives everybody else one turn when it is 0, less, or nothing",
    function()
      for _, s in ipairs {0, -1, -math.huge, "nothing"} do
        local order = {}
        for i = 1, 3 do
          green.spawn(function() order[#order + 1] = i end)
        end
        if s == "nothing" then green.sleep() else green.sleep(s) end
        assert.same({1, 2, 3}, order)
      end
    end)

  it("returns nothing", function()
    assert.equal(0, select("#", green.sleep(0)))
    assert.equal(0, select("#", green.sleep(0.0001)))
  end)

  it("raises on NaN and on what is no number", function()
    assert.is_false(pcall(green.sleep, 0 / 0))
    assert.is_false(pcall(green.sleep, "soon"))
    assert.is_false(pcall(green.sleep, {}))
  end)

  help.both(it, "wakes in the order of the deadlines, equal ones in the order "
    .. "of going to sleep", function()
      local order, ts = {}, {}
      for i = 1, 50 do
        ts[i] = green.spawn(function()
          green.sleep((i % 3) * 0.002 + 0.002)
          order[#order + 1] = i
        end)
      end
      help.ended(table.unpack(ts))
      local place = {}
      for at, i in ipairs(order) do place[i] = at end
      for i = 4, 50 do assert.is_true(place[i - 3] < place[i]) end
    end)

  it("for ever ends only by an interruption", function()
    local t = green.spawn(green.sleep, math.huge)
    help.blocked(t)
    assert.same({nil, "timeout"}, {t:join(0.005)})
    assert.equal("blocked", t:status())
    t:kill()
    t:join()
    assert.equal("killed", t:status())
  end)
end)

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
      local t = green.spawn(function() green.sleep(0.03) return "well" end)
      assert.same({nil, "timeout"}, {t:wait(0)})
      assert.same({nil, "timeout"}, {t:wait(-1)})
      local began = green.now()
      assert.same({nil, "timeout"}, {t:wait(0.002)})
      assert.is_true(green.now() - began >= 0.002)
      assert.same({nil, "timeout"}, {t:join(0.002)})
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
    assert.matches("thread_spec.lua:" .. line, err.where)
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

describe("status", function()
  it("follows a thread's life", function()
    local go = green.event()
    local t = green.spawn(function()
      assert.equal("running", green.current():status())
      go:wait()
    end)
    assert.equal("new", t:status())
    help.blocked(t)
    assert.equal("blocked", t:status())
    go:send()
    assert.equal("ready", t:status())
    t:wait()
    assert.equal("done", t:status())
  end)
end)

describe("blocked", function()
  help.both(it, "tells what a blocked thread waits for, since when and where",
    function()
      local q = green.queue()
      local line = debug.getinfo(1, "l").currentline + 2
      local t = green.spawn(function()
        return (q:get(60))
      end)
      help.blocked(t)
      local w = t:blocked()
      assert.equal("queue:get", w.what)
      assert.equal(q, w.on)
      assert.is_true(w.since <= green.now())
      assert.is_true(w.deadline > green.now() + 50)
      assert.matches("thread_spec.lua:" .. line, w.where)
      q:put("x")
      assert.is_nil(t:blocked())
      t:wait()
      assert.is_nil(t:blocked())
    end)

  it("names every way to wait", function()
    local t = green.spawn(green.sleep, 60)
    local e, full = green.event(), green.queue(1)
    full:put(1)
    local waits = {
      ["sleep"] = t,
      ["thread:wait"] = green.spawn(t.wait, t),
      ["thread:join"] = green.spawn(t.join, t),
      ["event:wait"] = green.spawn(e.wait, e),
      ["queue:put"] = green.spawn(full.put, full, 2),
      ["queue:join"] = green.spawn(full.join, full),
      ["wait_others"] = green.spawn(green.wait_others),
    }
    for what, who in pairs(waits) do
      help.blocked(who)
      assert.equal(what, who:blocked().what)
    end
    assert.equal(t, waits["thread:wait"]:blocked().on)
    assert.is_nil(t:blocked().on)
    assert.is_nil(waits["event:wait"]:blocked().deadline)
    for _, who in pairs(waits) do who:kill() end
    help.ended(t, waits["wait_others"], waits["queue:put"])
  end)

  it("is nil for who runs", function()
    assert.is_nil(green.current():blocked())
  end)

  it("sees through nested coroutines and C frames", function()
    local q = green.queue()
    local t = green.spawn(function()
      coroutine.wrap(function()
        table.sort({1, 2}, function() q:get() end)
      end)()
    end)
    help.blocked(t)
    assert.equal("queue:get", t:blocked().what)
    assert.equal(q, t:blocked().on)
    assert.matches("thread_spec.lua", t:blocked().where)
    t:kill()
    t:join()
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

describe("wait_others", function()
  it("returns true when the caller is the only live thread", function()
    assert.is_true(green.wait_others())
    local n = 0
    for i = 1, 5 do
      green.spawn_n(function() green.sleep(0.001 * i) n = n + 1 end)
    end
    green.spawn_after(0.01, function() n = n + 1 end)
    assert.same({nil, "timeout"}, {green.wait_others(0)})
    assert.same({nil, "timeout"}, {green.wait_others(0.0001)})
    assert.is_true(green.wait_others())
    assert.equal(6, n)
    assert.is_true(green.wait_others(0))
  end)

  it("waits for those that were spawned meanwhile", function()
    local n = 0
    green.spawn_n(function()
      green.sleep(0)
      n = n + 1
      green.spawn_n(function() green.sleep(0.001) n = n + 1 end)
    end)
    assert.is_true(green.wait_others(60))
    assert.equal(2, n)
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

describe("a ticker", function()
  it("ticks in the thread of whoever waits, at a steady rate", function()
    local began, seen = green.now(), {}
    for n in green.ticker(0.002) do
      seen[#seen + 1] = n
      assert.is_true(green.now() - began >= n * 0.002)
      if #seen == 3 then break end
    end
    assert.is_true(seen[1] < seen[2] and seen[2] < seen[3])
  end)

  it("skips the ticks that were missed, and counts them", function()
    local k = green.ticker(0.001)
    k:wait()
    green.sleep(0.02)
    assert.is_true(k:wait() >= 20)
  end)

  it("ends for whoever waits when it is cancelled", function()
    local k = green.ticker(60)
    local t = green.spawn(function()
      for _ in k do error "no tick was due" end
      return k:wait()
    end)
    help.blocked(t)
    k:close()
    assert.same({nil, "closed"}, {t:wait()})
  end)

  it("has a limit to its wait", function()
    local k = green.ticker(60)
    assert.same({nil, "timeout"}, {k:wait(0.001)})
    assert.same({nil, "timeout"}, {k:wait(0)})
  end)

  it("refuses a period that is not positive", function()
    for _, s in ipairs {0, -1, 0 / 0, math.huge, "x"} do
      assert.is_false(pcall(green.ticker, s))
    end
  end)
end)
