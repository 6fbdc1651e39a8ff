-- Errors: objects of any type, one destination, tracebacks, deadlocks.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("an error value", function()
  it("of any type travels as the very value", function()
    local values = {"text", 42, 4.5, true, false, {}, print, coroutine.create(
      print), io.stdout, setmetatable({}, {__tostring = error})}
    for _, v in ipairs(values) do
      local t = green.spawn(function() green.sleep(0) error(v, 0) end)
      local ok, err = pcall(t.wait, t)
      assert.is_false(ok)
      assert.is_true(rawequal(v, err))
      assert.is_true(rawequal(v, (select(2, t:join()))))
    end
    local t = green.spawn(function() green.sleep(0) error(nil) end)
    assert.same(table.pack(false, help.raised_nil), table.pack(t:join()))
  end)

  it("of the runtime keeps its message and place", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local t = green.spawn(function() return nil + 1 end)
    local _, err = t:join()
    assert.matches("errors_spec.lua:" .. line .. ": attempt to perform", err)
  end)

  it("of a stack overflow ends only its thread", function()
    local function deep() return 1 + deep() end
    local t = green.spawn(deep)
    local ok, err = t:join()
    assert.is_false(ok)
    assert.matches("stack overflow", err)
    local t2 = green.spawn(function()
      local function sorted() table.sort({1, 2}, sorted) end
      sorted()
    end)
    ok, err = t2:join()
    assert.is_false(ok)
    assert.matches("overflow", err)
  end)
end)

describe("the library's error objects", function()
  it("print, and can be joined to a log line", function()
    local t = green.spawn(green.sleep, 60)
    t:kill("reason")
    local _, killed = t:join()
    local t2 = green.spawn(green.sleep, 60)
    t2:kill()
    local _, bare = t2:join()
    local to = green.timeout(0.5)
    to:cancel()
    assert.equal("killed: reason", tostring(killed))
    assert.equal("killed", tostring(bare))
    assert.matches("^timeout: 0.5 s, set at .*errors_spec.lua:%d+$",
      tostring(to))
    for _, e in ipairs {killed, bare, to} do
      assert.equal("failed: " .. tostring(e), "failed: " .. e)
      assert.equal(tostring(e) .. "!", e .. "!")
      assert.equal(tostring(e) .. "1", e .. 1)
      assert.equal(tostring(e) .. tostring(e), e .. e)
    end
  end)

  it("survive a reason that cannot be printed", function()
    local t = green.spawn(green.sleep, 60)
    t:kill(setmetatable({}, {__tostring = error}))
    local _, killed = t:join()
    assert.matches("^killed", tostring(killed))
  end)

  it("name their kind", function()
    assert.is_nil(green.type("killed"))
    assert.is_nil(green.type({}))
    assert.is_nil(green.type(nil))
    assert.is_nil(green.type(io.stdout))
    assert.is_false(pcall(green.type))
  end)
end)

describe("on_error", function()
  it("gets each error that nobody waits for, in a thread that may block",
    function()
      local seen
      local former = green.on_error(function(err, t)
        green.sleep(0.001)
        seen = {err, t, green.current() ~= t}
      end)
      local t = green.spawn(error, "x", 0)
      help.wait_until(function() return seen end)
      green.on_error(former)
      assert.same({"x", t, true}, seen)
    end)

  it("is not called when somebody waits or joins", function()
    local list = help.collecting(function()
      assert.is_false(pcall(function() green.spawn(error, 1):wait() end))
      green.spawn(error, 2):join()
      local t = green.spawn(function() green.sleep(0) error(3) end)
      local a, b = green.spawn(t.join, t), green.spawn(pcall, t.wait, t)
      help.ended(a, b)
    end)
    assert.same({}, list)
  end)

  it("is called when the waiter gave up before", function()
    local list = help.collecting(function(list)
      local t = green.spawn(function() green.sleep(0.003) error("x", 0) end)
      assert.same({nil, "timeout"}, {t:wait(0.0005)})
      help.wait_until(function() return #list == 1 end)
      -- reporting does not consume
      assert.same({false, "x"}, {t:join()})
    end)
    assert.equal(1, #list)
  end)

  it("returns the handler so far, and refuses what cannot be called",
    function()
      local former = green.on_error()
      local mine = function() end
      assert.equal(former, green.on_error(mine))
      assert.equal(mine, green.on_error())
      assert.is_false(pcall(green.on_error, 5))
      green.on_error(setmetatable({}, {__call = print}))
      green.on_error(former)
    end)

  it("that fails itself, or is interrupted, ends nothing", function()
    local out = help.child [[
      local green = require "green"
      green.on_error(function(err) error("handler: " .. err, 0) end)
      green.spawn(error, "first", 0)
      green.sleep(0) green.sleep(0)
      print "on"
    ]]
    assert.matches("on_error failed: handler: first", out)
    assert.matches("on\n", out)
  end)

  it("prints message and traceback on stderr unless it is replaced",
    function()
      local out, how, code = help.child [[
        local green = require "green"
        local function deeper() error "the message" end
        local t = green.spawn(function() deeper() return 1 end)
        t.name = "worker"
        green.sleep(0) green.sleep(0)
      ]]
      assert.same({"exit", 0}, {how, code})
      assert.matches("worker failed: .*the message", out)
      assert.matches("in upvalue 'deeper'", out)
      assert.matches("spawned at .*:%d+ by #1 main", out)
    end)

  it("hears of an error in the clean-up of a killed thread", function()
    local list = help.collecting(function(list)
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          error("bug", 0)
        end})
        green.sleep(60)
      end)
      help.blocked(t)
      t:kill()
      help.wait_until(function() return #list == 1 end)
    end)
    assert.equal("bug", list[1].err)
  end)
end)

describe("a thread's traceback", function()
  local function fails() error("here", 0) end

  help.both(it, "shows where its error was raised, and who spawned it",
    function()
      local t = green.spawn(function()
        green.sleep(0)
        fails()
        return 1
      end)
      t:join()
      local text = t:traceback()
      assert.matches("^stack traceback:", text)
      assert.matches("in upvalue 'fails'", text)
      assert.matches("spawned at .*errors_spec.lua:%d+ by #%d+", text)
    end)

  help.both(it, "looks once for the one spawner of many threads",
    function()
      local find, searches = green.find_thread, 0
      local _ <close> = setmetatable({}, {__close = function()
        green.find_thread = find
      end})
      function green.find_thread(id)
        searches = searches + 1
        return find(id)
      end
      local ts, over = {}, green.event()
      local parent = green.spawn(function()
        for i = 1, 3 do ts[i] = green.spawn(fails) end
        over:wait()
      end)
      parent.name = "the parent"
      help.blocked(parent)
      help.ended(table.unpack(ts))
      for i = 1, 3 do
        assert.matches("by #%d+ the parent$", ts[i]:traceback())
      end
      assert.equal(1, searches)
      over:send()
      parent:join()
      for i = 1, 3 do
        assert.matches("by #" .. parent.id .. "$", ts[i]:traceback())
      end
      assert.equal(1, searches)
    end)

  help.both(it, "shows the stack of a live one", function()
    local function waits() green.sleep(60) return 1 end
    local t = green.spawn(function() waits() return 1 end)
    help.blocked(t)
    assert.matches("in upvalue 'waits'", t:traceback())
    local inner = green.spawn(function()
      coroutine.wrap(function() waits() return 1 end)()
      return 1
    end)
    help.blocked(inner)
    assert.matches("waits", inner:traceback())
    assert.matches("errors_spec.lua", green.current():traceback())
    t:kill()
    inner:kill()
    help.ended(t, inner)
  end)

  it("follows an error from thread to thread", function()
    local a = green.spawn(function() green.sleep(0) fails() return 1 end)
    a.name = "first"
    local b = green.spawn(function() a:wait() return 1 end)
    b.name = "second"
    local c = green.spawn(function() b:wait() return 1 end)
    c:join()
    local text = c:traceback()
    assert.matches("caused by #" .. b.id .. " second", text, 1, true)
    assert.matches("caused by #" .. a.id .. " first", text, 1, true)
    assert.matches("in upvalue 'fails'", text)
  end)

  it("is a message handler, too: green.traceback", function()
    local t = green.spawn(function() green.sleep(0) fails() return 1 end)
    local _, text = xpcall(t.wait, green.traceback, t)
    assert.matches("^here\nstack traceback:", text)
    assert.matches("caused by #" .. t.id, text)
    assert.matches("in upvalue 'fails'", text)
    local _, plain = xpcall(error, green.traceback, "plain", 0)
    assert.matches("^plain\nstack traceback:", plain)
    local _, object = xpcall(error, green.traceback,
      setmetatable({}, {__tostring = function() return "an object" end}))
    assert.matches("^an object\nstack traceback:", object)
    assert.equal("string", type(green.traceback()))
  end)

  it("of a thread that was done or never ran is a string", function()
    local t = green.spawn(function() end)
    assert.equal("string", type(t:traceback()))
    t:wait()
    assert.equal("string", type(t:traceback()))
    local k = green.spawn(print)
    k:kill()
    assert.equal("string", type(k:traceback()))
  end)

  it("survives with_timeout and green.pcall of an outer frame", function()
    local t = green.spawn(function()
      green.with_timeout(60, function() fails() return 1 end)
      return 1
    end)
    t:join()
    assert.matches("in upvalue 'fails'", t:traceback())
  end)
end)

describe("a deadlock", function()
  it("is raised in main, once, and lists who waits for what and where",
    function()
      local e, q = green.event(), green.queue()
      local a = green.spawn(e.wait, e)
      a.name = "waiter"
      local b = green.spawn(function() q:get() end)
      local ok, err = pcall(function() e:wait() end)
      assert.is_false(ok)
      assert.equal("deadlock", green.type(err))
      local by_id = {}
      for _, t in ipairs(err.threads) do by_id[t.id] = t end
      assert.equal("event:wait", by_id[a.id].what)
      assert.equal("waiter", by_id[a.id].name)
      assert.equal("queue:get", by_id[b.id].what)
      assert.matches("errors_spec.lua:%d+", by_id[b.id].where)
      assert.equal("number", type(by_id[b.id].since))
      assert.truthy(by_id[1])
      assert.matches("deadlock", tostring(err))
      assert.matches("waiter: event:wait", tostring(err))
      assert.equal("x" .. tostring(err), "x" .. err)
      -- single shot: main goes on
      green.sleep(0.001)
      e:send()
      a:wait()
      b:kill()
      b:join()
    end)

  it("strikes main through a shield, and whatever it waits in", function()
    local waits = {
      function() green.event():wait() end,
      function() green.queue():get() end,
      function() green.channel():put(1) end,
      function() green.sleep(math.huge) end,
      function() green.shield(math.huge, green.sleep, math.huge) end,
      function() coroutine.wrap(function() green.event():wait() end)() end,
      function()
        local e = green.event()
        green.spawn(e.wait, e):wait()
      end,
    }
    for i, wait in ipairs(waits) do
      local ok, err = pcall(wait)
      assert.is_false(ok, i)
      assert.equal("deadlock", green.type(err), i)
    end
    green.shutdown()
  end)

  it("shows a cycle of joins, and each cycle once", function()
    local b, d
    local a = green.spawn(function() b:join() end)
    b = green.spawn(function() a:wait() end)
    local c = green.spawn(function() d:join() end)
    d = green.spawn(function() c:join() end)
    local e = green.spawn(function() a:join() end) -- leads to a cycle, only
    for name, t in pairs {a = a, b = b, c = c, d = d, e = e} do
      t.name = name
    end
    local ok, err = pcall(a.join, a)
    assert.is_false(ok)
    local one = ("#%d a -> join of #%d b -> wait for #%d a"):format(a.id, b.id,
      a.id)
    local two = ("#%d c -> join of #%d d -> join of #%d c"):format(c.id, d.id,
      c.id)
    assert.equal(one, err.cycle)
    assert.same({one, two}, err.cycles)
    assert.matches("\n  in a cycle: " .. one .. "\n  in a cycle: " .. two,
      tostring(err), 1, true)
    green.shutdown()
  end)

  it("shows a cycle that main is part of", function()
    local main = green.current()
    local t = green.spawn(function() main:join() end)
    t.name = "child"
    local ok, err = pcall(t.wait, t)
    assert.is_false(ok)
    assert.equal(("#1 main -> wait for #%d child -> join of #1 main"):format(
      t.id), err.cycle)
    green.shutdown()
  end)

  it("is of one line for each thread, whatever its name", function()
    local t = green.spawn(function() green.event():wait() end)
    t.name = "two\nlines"
    local ok, err = pcall(t.wait, t)
    assert.is_false(ok)
    assert.matches("two\\nlines: event:wait", tostring(err), 1, true)
    assert.is_nil(err.cycle)
    green.shutdown()
  end)

  it("is none while a timer is armed", function()
    local e = green.event()
    green.spawn_after(0.005, e.send, e, 1)
    assert.equal(1, e:wait())
    local to <close> = green.timeout(0.002)
    assert.equal(to, select(2, pcall(green.event().wait, green.event())))
  end)

  it("ends a program that does not catch it, with the list", function()
    local out, how, code = help.child [[
      local green = require "green"
      local e = green.event()
      local t = green.spawn(function() e:wait() end)
      t.name = "worker"
      t:wait()
    ]]
    assert.same({"exit", 1}, {how, code})
    assert.matches("deadlock", out)
    assert.matches("worker: event:wait", out)
  end)
end)
