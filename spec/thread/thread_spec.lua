-- Green threads: their beginning, their names, and questions about them.
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

  it("has ended when it is done, has failed or was killed", function()
    local function f(how) if how then error(how) end end
    local done, failed = green.spawn(f), green.spawn(f, "x")
    local killed, slow = green.spawn(f), green.spawn(green.sleep, 1)
    killed:kill()
    assert.is_false(done:has_ended())
    help.ended(failed, done, killed)
    for _, t in ipairs {done, failed, killed} do
      assert.is_true(t:has_ended())
    end
    assert.is_false(slow:has_ended())
    assert.is_false(green.current():has_ended())
    slow:kill()
    assert.is_false(slow:has_ended())
    help.ended(slow)
    assert.is_true(slow:has_ended())
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

  it("does so where younger threads have the records of ended ones", function()
    local first, all = {}, {}
    for i = 1, 40 do first[i] = green.spawn(green.sleep, 60) end
    for i = 1, 40, 3 do first[i]:kill() end
    for i = 1, 40, 3 do first[i]:join() end
    for _ = 1, 30 do green.spawn_n(green.sleep, 60) end
    for i, t in ipairs(green.threads()) do all[i] = t.id end
    assert.equal(1 + 26 + 30, #all)
    for i = 2, #all do assert.is_true(all[i - 1] < all[i]) end
    for _, t in ipairs(green.threads()) do
      if t ~= green.current() then t:kill() end
    end
    green.wait_others()
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
