-- Places where blocking is refused, and things that others cannot do to a
-- thread.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function in_finalizer(f)
  local result
  local function garbage()
    setmetatable({}, {__gc = function() result = table.pack(pcall(f)) end})
  end
  garbage()
  collectgarbage()
  return table.unpack(result, 1, result.n)
end

describe("a finalizer", function()
  help.both(it, "may not block, and is told which call and why", function()
    local ok, err = in_finalizer(function() green.sleep(1) end)
    assert.is_false(ok)
    assert.matches("'sleep' cannot block in a finalizer", err)
    ok, err = in_finalizer(function() green.queue():get() end)
    assert.is_false(ok)
    assert.matches("'queue:get' cannot block in a finalizer", err)
    assert.is_false((in_finalizer(function() green.sleep(0) end)))
    green.sleep(0)
  end)

  help.both(it, "may use all that never switches, and spawn", function()
    local q, e = green.queue(1), green.event()
    local victim = green.spawn(green.sleep, 60)
    local linked, ran
    help.blocked(victim)
    local ok, err = in_finalizer(function()
      green.spawn_n(function() ran = true end)
      assert(green.spawn(print):cancel())
      green.spawn_after(60, print):cancel()
      assert(q:put(1))
      assert(q:get() == 1)
      assert(q:put(2, 0))
      e:send(1)
      assert(e:wait() == 1)
      victim:link(function() linked = true end)
      assert(victim:kill())
      assert(#green.threads() > 1)
      assert(green.now() and green.current() and green.stats())
      local to <close> = green.timeout(1)
      assert(to:expired() == false)
      q:close()
    end)
    assert.is_true(ok, err)
    help.wait_until(function() return linked and ran end)
    assert.equal(2, q:get())
  end)

  it("is not interrupted by the budget of calls that need not wait", function()
    local q = green.queue(1)
    local ok, err = in_finalizer(function()
      for i = 1, 1000 do
        assert(q:put(i))
        assert(q:get() == i)
      end
    end)
    assert.is_true(ok, err)
  end)
end)

describe("a warn function", function()
  it("may not block", function()
    local out = help.child [[
      local green = require "green"
      warn "@on"
      warn "plain"
      green.sleep(0)
      print "on"
    ]]
    assert.matches("plain", out)
    assert.matches("on\n$", out)
  end)

  it("that is replaced from C or Lua is told so", function()
    local core = require "green.core"
    core.in_warn(true)
    local ok, err = pcall(green.sleep, 1)
    core.in_warn(false)
    assert.is_false(ok)
    assert.matches("'sleep' cannot block in a warn function", err)
    green.sleep(0)
  end)
end)

describe("coroutine.yield at a thread's top level", function()
  help.both(it, "fails with main's own message, with or without values",
    function()
      for _, values in ipairs {{}, {1, 2}} do
        local closed
        local t = green.spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            closed = true
          end})
          green.sleep(0)
          coroutine.yield(table.unpack(values))
        end)
        local ok, err = t:join()
        assert.is_false(ok)
        assert.equal("attempt to yield from outside a coroutine", err)
        assert.equal("failed", t:status())
        assert.is_true(closed)
        assert.matches("in %a+ '[corutine.]*yield'", t:traceback())
      end
    end)

  it("in a coroutine of the thread's own is an ordinary yield", function()
    assert.equal(6, green.spawn(function()
      local sum = 0
      for v in coroutine.wrap(function()
        for i = 1, 3 do
          green.sleep(0)
          coroutine.yield(i)
        end
      end) do sum = sum + v end
      return sum
    end):wait())
  end)
end)

--- A thread that blocks and gave its coroutine away.
local function given(f)
  local co
  local t = green.spawn(function()
    co = coroutine.running()
    return f()
  end)
  help.blocked(t)
  return t, co
end

describe("a parked thread's coroutine", function()
  help.both(it, "that foreign code resumes is not moved", function()
    local t, co = given(function()
      green.sleep(0.003)
      return "whole"
    end)
    for _ = 1, 10 do coroutine.resume(co, 1, 2, 3) end
    assert.equal("blocked", t:status())
    assert.equal("whole", t:wait())
  end)

  help.both(it, "that foreign code resumes while it is ready is not moved",
    function()
      local e = green.event()
      local t, co = given(function() return e:wait() end)
      e:send("v")
      coroutine.resume(co)
      local other = green.spawn(function() coroutine.resume(co) end)
      other:wait()
      assert.equal("v", t:wait())
    end)

  help.both(it, "that other threads resume is not moved", function()
    local e = green.event()
    local t, co = given(function() return e:wait() end)
    local others = {}
    for i = 1, 5 do
      others[i] = green.spawn(function()
        for _ = 1, 5 do
          coroutine.resume(co)
          green.sleep(0)
        end
      end)
    end
    help.ended(table.unpack(others))
    assert.equal("blocked", t:status())
    e:send("v")
    assert.equal("v", t:wait())
  end)

  it("that foreign code closes ends the thread as killed, at once", function()
    help.with_config({keep_stacks = 0}, function()
      local closed
      local t, co = given(function()
        local _ <close> = setmetatable({}, {__close = function()
          closed = true
        end})
        green.sleep(60)
      end)
      local joiner = green.spawn(t.join, t)
      help.blocked(joiner)
      local timers = green.stats().timers
      assert.is_true(coroutine.close(co))
      assert.is_true(closed)
      assert.equal("killed", t:status())
      assert.equal(timers - 1, green.stats().timers)
      local ok, err = joiner:wait()
      assert.is_false(ok)
      assert.equal("killed", green.type(err))
      assert.equal("closed by foreign code", err.reason)
    end)
  end)

  it("that keeps its stack refuses to be closed", function()
    local t, co = given(function()
      table.sort({1, 2}, function(a, b) green.sleep(0.003) return a < b end)
      return "whole"
    end)
    assert.is_false(pcall(coroutine.close, co))
    assert.equal("whole", t:wait())
  end)

  it("that was given away is never used for another thread", function()
    local seen = {}
    for _ = 1, 100 do
      green.spawn(function()
        local co = coroutine.running()
        assert(not seen[co])
        seen[co] = true
      end):wait()
    end
  end)
end)

describe("a nested coroutine that is parked", function()
  help.both(it, "cannot be resumed or closed by others", function()
    local e, inner = green.event(), nil
    local t = green.spawn(function()
      inner = coroutine.create(function() return e:wait() end)
      return select(2, coroutine.resume(inner))
    end)
    help.blocked(t)
    assert.is_false((coroutine.resume(inner)))
    assert.is_false(pcall(coroutine.close, inner))
    e:send("v")
    assert.equal("v", t:wait())
  end)
end)

describe("waiting for oneself", function()
  it("raises", function()
    local ok, err = pcall(function() green.current():wait() end)
    assert.is_false(ok)
    assert.matches("cannot wait for itself", err)
    assert.is_false(pcall(function() green.current():join(1) end))
  end)
end)
