-- Groups: a block does not end before its children have; the first failure
-- ends them all.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"

local long = test.it(it, {limit = 60, seeds = 5})
local it, fifo = test.it(it), test.it(it, {order = "fifo"})
local fails = help.fails

local function killed(err)
  return green.type(err) == "killed"
end

--- Something to close that takes time, and notes that it was done.
local function slow(list, name, s)
  return setmetatable({}, {__close = function()
    green.shield(nil, green.sleep, s or 0.1)
    list[#list + 1] = name
  end})
end

--- A child that sleeps until it is killed, and cleans up.
local function sleeper(list, name)
  local _ <close> = slow(list, name)
  green.sleep(1e6)
end

describe("a group", function()
  it("joins its children when the block ends", function()
    local done = {}
    do
      local g <close> = green.group()
      for i = 1, 5 do
        g:spawn(function(s) green.sleep(s) done[#done + 1] = i end, i / 100)
      end
      assert.same({}, done)
    end
    assert.same({1, 2, 3, 4, 5}, done)
  end)

  it("joins them when the block is left by return, break or goto", function()
    local done = 0
    local function work() green.sleep(0.1) done = done + 1 end
    local function f()
      local g <close> = green.group()
      g:spawn(work)
      return "value", nil
    end
    assert.same({n = 2, "value"}, table.pack(f()))
    assert.equal(1, done)
    while true do -- luacheck: ignore
      local g <close> = green.group()
      g:spawn(work)
      break
    end
    assert.equal(2, done)
    do
      local g <close> = green.group()
      g:spawn(work)
      goto out
    end
    ::out::
    assert.equal(3, done)
  end)

  it("without children ends at once", function()
    local before = green.now()
    do local _ <close> = green.group() end
    assert.equal(before, green.now())
  end)

  it("kills and joins them when the block is left by an error", function()
    local mine, list = {}, {}
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(sleeper, list, "a")
      g:spawn(sleeper, list, "b")
      green.sleep(0.1)
      error(mine)
    end)
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal(2, #list)
  end)

  for _, where in ipairs {"body", "join"} do
    it("kills and joins them when its thread is killed in the " .. where,
      function()
        local list = {}
        local t = green.spawn(function()
          local g <close> = green.group()
          g:spawn(sleeper, list, "child")
          if where == "body" then green.sleep(1e6) end
        end)
        test.blocked(t)
        green.sleep(0.01)
        t:kill("why")
        local ok, err = t:join()
        assert.is_false(ok)
        assert.equal("why", err.reason)
        assert.equal("killed", t:status())
        assert.same({"child"}, list)
      end)

    it("kills and joins them when its thread is thrown into in the " .. where,
      function()
        local list = {}
        local t = green.spawn(function()
          local g <close> = green.group()
          g:spawn(sleeper, list, "child")
          if where == "body" then green.sleep(1e6) end
        end)
        test.blocked(t)
        green.sleep(0.01)
        green.spawn(function() t:throw("thrown") end)
        assert.same({false, "thrown"}, {t:join()})
        assert.same({"child"}, list)
      end)

    it("kills and joins them when a timeout strikes in the " .. where,
      function()
        local list = {}
        assert.same({nil, "timeout"}, {green.with_timeout(1, function()
          local g <close> = green.group()
          g:spawn(sleeper, list, "child")
          if where == "body" then green.sleep(1e6) end
        end)})
        assert.same({"child"}, list)
      end)
  end

  it("goes on joining under a shield", function()
    local list, joined = {}, nil
    local t = green.spawn(function()
      green.shield(math.huge, function()
        do
          local g <close> = green.group()
          g:spawn(function() green.sleep(10) list[1] = "whole" end)
        end
        joined = list[1]
      end)
    end)
    test.blocked(t)
    t:kill()
    t:join()
    assert.equal("whole", joined)
  end)

  it("fails with the very value of the first child that does", function()
    local value, list = {}, {}
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(sleeper, list, "sibling")
      g:spawn(fails, 0.1, value)
      g:spawn(sleeper, list, "sibling")
    end)
    assert.is_false(ok)
    assert.equal(value, err)
    assert.same({"sibling", "sibling"}, list)
  end)

  it("fails with a nil or false error, too", function()
    for _, value in ipairs {false, "nil"} do
      if value == "nil" then value = nil end
      local r = table.pack(pcall(function()
        local g <close> = green.group()
        g:spawn(error, value, 0)
      end))
      assert.is_false(r[1])
      assert.equal(value == nil and help.raised_nil or value, r[2])
    end
  end)

  it("strikes its body again and again, until it is closed", function()
    local seen, child = {}, nil
    local ok, err = pcall(function()
      local g <close> = green.group()
      child = g:spawn(fails, 0.1, "the child's")
      child.name = "fetch"
      for i = 1, 3 do
        seen[i] = select(2, pcall(green.sleep, 1e6))
        assert.equal(seen[i], green.interrupted())
      end
    end)
    assert.is_nil(green.interrupted())
    assert.same({false, "the child's"}, {ok, err})
    green.sleep(0)
    assert.equal(seen[1], seen[2])
    assert.equal(seen[1], seen[3])
    local e = seen[1]
    assert.equal("child_failed", green.type(e))
    assert.equal(child, e.thread)
    local text = ("group: #%d fetch failed: the child's"):format(child.id)
    assert.equal(text, tostring(e))
    assert.equal("log: " .. text, "log: " .. e)
    assert.equal(text .. ".", e .. ".")
    assert.is_false(green.is_timeout(e))
  end)

  it("leaves calls with a limit of 0 alone", function()
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(fails, 0, "x")
      pcall(green.sleep, 10)
      assert.same({nil, "timeout"}, {green.event():wait(0)})
    end)
    assert.same({false, "x"}, {ok, err})
  end)

  it("lets a body that wraps its strike lose to the child's error", function()
    local list = help.collecting(function()
      local ok, err = pcall(function()
        local g <close> = green.group()
        g:spawn(fails, 0.1, "first")
        green.sleep(1e6)
      end)
      assert.same({false, "first"}, {ok, err})
      green.sleep(0.1)
    end)
    assert.same({}, list)
  end)

  it("raises with the child's traceback among the causes", function()
    local text
    local function culprit() error("boom", 0) end
    local t = green.spawn(function()
      local ok = xpcall(function()
        local g <close> = green.group()
        g:spawn(culprit)
      end, function(err) text = green.traceback(err) return err end)
      assert.is_false(ok)
      local g <close> = green.group()
      g:spawn(culprit)
    end)
    assert.same({false, "boom"}, {t:join()})
    for _, s in ipairs {text, t:traceback()} do
      assert.matches("caused by #%d+ ", s)
      assert.matches("in %a+ 'error'", s)
    end
  end)

  it("hands errors after the first to on_error", function()
    local list = help.collecting(function(errors)
      local ok, err = pcall(function()
        local g <close> = green.group()
        g:spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            error("second", 0)
          end})
          green.sleep(1e6)
        end)
        g:spawn(fails, 0.1, "first")
      end)
      assert.same({false, "first"}, {ok, err})
      test.wait_until(function() return #errors == 1 end)
      green.sleep(0.1)
    end)
    assert.equal(1, #list)
    assert.equal("second", list[1].err)
  end)

  it("hands an error of the body that came later to on_error", function()
    local list = help.collecting(function(errors)
      local ok, err = pcall(function()
        local g <close> = green.group()
        g:spawn(fails, 0.1, "first")
        pcall(green.sleep, 1e6)
        error("later", 0)
      end)
      assert.same({false, "first"}, {ok, err})
      test.wait_until(function() return #errors == 1 end)
      green.sleep(0.1)
    end)
    assert.equal(1, #list)
    assert.equal("later", list[1].err)
    assert.equal(green.current(), list[1].thread)
  end)

  it("raises an error of the body that came first; what the children fail "
    .. "with while they are killed goes to on_error", function()
      local list = help.collecting(function(errors)
        local ok, err = pcall(function()
          local g <close> = green.group()
          for i = 1, 2 do
            g:spawn(function()
              local _ <close> = setmetatable({}, {__close = function()
                error("clean-up " .. i, 0)
              end})
              green.sleep(1e6)
            end)
          end
          green.sleep(0.1)
          error("body", 0)
        end)
        assert.same({false, "body"}, {ok, err})
        test.wait_until(function() return #errors == 2 end)
        green.sleep(0.1)
      end)
      local texts = {list[1].err, list[2].err}
      table.sort(texts)
      assert.same({"clean-up 1", "clean-up 2"}, texts)
    end)

  it("lets an interruption of the join go on; what the children fail with "
    .. "then goes to on_error", function()
      local list = help.collecting(function(errors)
        local t = green.spawn(function()
          local g <close> = green.group()
          g:spawn(function()
            local _ <close> = setmetatable({}, {__close = function()
              error("clean-up", 0)
            end})
            green.sleep(1e6)
          end)
        end)
        test.blocked(t)
        green.sleep(0.1)
        t:kill()
        assert.is_true(killed(select(2, t:join())))
        assert.equal("killed", t:status())
        test.wait_until(function() return #errors == 1 end)
      end)
      assert.equal("clean-up", list[1].err)
    end)

  it("takes no killed child for a failure", function()
    local list = {}
    do
      local g <close> = green.group()
      local t = g:spawn(sleeper, list, "a")
      local never = g:spawn(error, "never runs")
      g:spawn(function() green.sleep(1) list[#list + 1] = "b" end)
      never:kill()
      green.sleep(0.1)
      t:kill()
    end
    assert.same({"a", "b"}, list)
  end)

  it("may kill its children; the body goes on", function()
    local list = {}
    local reason
    do
      local g <close> = green.group()
      g:spawn(sleeper, list, "a")
      local t = g:spawn(green.sleep, 1e6)
      green.sleep(0.1)
      g:kill("a race is won")
      green.sleep(0)
      reason = select(2, t:join()).reason
      g:spawn(function() list[#list + 1] = "later" end)
    end
    assert.equal("a race is won", reason)
    table.sort(list)
    assert.same({"a", "later"}, list)
  end)

  it("fails with a child even when somebody waits for it", function()
    local waited
    local ok, err = pcall(function()
      local g <close> = green.group()
      local t = g:spawn(fails, 0.1, "x")
      green.spawn(function() waited = table.pack(t:join()) end)
      green.sleep(1e6)
    end)
    assert.same({false, "x"}, {ok, err})
    test.wait_until(function() return waited end)
    assert.same({n = 2, false, "x"}, waited)
  end)

  it("lets a tolerant child fail", function()
    local t
    do
      local g <close> = green.group()
      t = g:spawn(green.pcall, fails, 0.1, "x")
      green.sleep(1)
    end
    assert.same({false, "x"}, {t:wait()})
  end)

  it("kills a tolerant child all the same", function()
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(green.pcall, green.sleep, 1e6)
      g:spawn(fails, 0.1, "x")
    end)
    assert.same({false, "x"}, {ok, err})
  end)

  it("waits in its body: true, a limit, or the first failure", function()
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(green.sleep, 1)
      assert.same({nil, "timeout"}, {g:wait(0)})
      assert.same({nil, "timeout"}, {g:wait(0.5)})
      assert.is_true(g:wait())
      assert.is_true(g:wait(0))
      g:spawn(fails, 1, "x")
      assert.same({false, "x"}, {pcall(g.wait, g)})
      assert.same({false, "x"}, {pcall(g.wait, g, 0)})
    end)
    assert.same({false, "x"}, {ok, err})
  end)

  it("waits in other threads, too", function()
    local a, b
    pcall(function()
      local g <close> = green.group()
      a = green.spawn(green.pcall, g.wait, g)
      b = green.spawn(function() return g:wait(0.1) end)
      g:spawn(fails, 1, "x")
      assert.same({true, nil, "timeout"}, {b:join()})
      a:wait()
    end)
    assert.same({false, "x"}, {a:wait()})
  end)

  it("cannot be waited for by its child", function()
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(function() g:wait() end)
    end)
    assert.is_false(ok)
    assert.matches("worker cannot wait", err)
  end)

  it("of n runs at most n children at once", function()
    local now, most, done = 0, 0, 0
    do
      local g <close> = green.group(3)
      for _ = 1, 12 do
        local t = g:spawn(function()
          now = now + 1
          most = math.max(most, now)
          green.sleep(math.random() / 10)
          now = now - 1
          done = done + 1
        end)
        assert.equal("thread", green.type(t))
      end
    end
    assert.equal(3, most)
    assert.equal(12, done)
  end)

  it("of n strikes a body that waits to spawn", function()
    local ran, strike = false, nil
    local ok, err = pcall(function()
      local g <close> = green.group(1)
      g:spawn(fails, 0.1, "x")
      local _
      _, strike = pcall(g.spawn, g, function() ran = true end)
      green.sleep(0)
    end)
    assert.same({false, "x"}, {ok, err})
    assert.equal("child_failed", green.type(strike))
    assert.is_false(ran)
  end)

  it("of one lets a child spawn", function()
    local order = {}
    do
      local g <close> = green.group(1)
      g:spawn(function()
        g:spawn(function() order[#order + 1] = "child" end)
        order[#order + 1] = "parent"
      end)
    end
    assert.same({"child", "parent"}, order)
  end)

  it("may be spawned into by any thread, while it is open", function()
    local done = 0
    local group, other
    do
      local g <close> = green.group()
      group = g
      g:spawn(green.sleep, 1)
      other = green.spawn(function()
        green.sleep(0.5)
        g:spawn(function() green.sleep(10) done = done + 1 end)
      end)
    end
    assert.equal(1, done)
    other:wait()
    local ok, err = pcall(group.spawn, group, print)
    assert.is_false(ok)
    assert.matches("the group is closed", err)
  end)

  it("tells those that wait to spawn when it is closed by an error", function()
    local t
    pcall(function()
      local g <close> = green.group(1)
      g:spawn(green.sleep, 1e6)
      t = green.spawn(function() return pcall(g.spawn, g, print) end)
      test.blocked(t)
      error("left")
    end)
    local _, ok, err = t:join()
    assert.is_false(ok)
    assert.matches("the group is closed", err)
  end)

  it("nests: each level raises its own child's error", function()
    local list = {}
    for level = 1, 3 do
      local seen = {}
      local function nest(n)
        local ok, err = pcall(function()
          local g <close> = green.group()
          g:spawn(sleeper, list, n)
          if n == level then g:spawn(fails, 0.1, "at " .. n) end
          if n < 3 then nest(n + 1) else green.sleep(1) end
        end)
        seen[n] = err == nil and "fine" or tostring(err)
        if not ok then error(err, 0) end
      end
      local ok, err = pcall(nest, 1)
      assert.is_false(ok)
      assert.equal("at " .. level, err)
      for n = 1, level do assert.equal("at " .. level, seen[n]) end
      for n = level + 1, 3 do
        assert.matches("group: #%d+ .* failed: at " .. level, seen[n])
      end
    end
  end)

  it("nests in threads: a failure goes up from child to parent", function()
    local value, ends = {}, {}
    local function level(n)
      local _ <close> = slow(ends, n, 0.01)
      local g <close> = green.group()
      g:spawn(sleeper, ends, "sibling")
      if n == 3 then
        g:spawn(fails, 0.1, value)
      else
        g:spawn(level, n + 1)
      end
      green.sleep(1e6)
    end
    local ok, err = pcall(level, 1)
    assert.is_false(ok)
    assert.equal(value, err)
    assert.equal(6, #ends)
    assert.equal(1, ends[6])
  end)

  it("is killed by an outer group's failure, and cleans up first", function()
    local list = {}
    local ok, err = pcall(function()
      local outer <close> = green.group()
      outer:spawn(function()
        local inner <close> = green.group()
        inner:spawn(sleeper, list, "inner")
      end)
      outer:spawn(fails, 0.5, "outer")
    end)
    assert.same({false, "outer"}, {ok, err})
    assert.same({"inner"}, list)
  end)

  it("prefers the failure that came before a kill in the same turn", function()
    local gate, list = green.event(), {}
    local t = green.spawn(function()
      local g <close> = green.group()
      g:spawn(function() gate:wait() list[1]:kill() error("first", 0) end)
    end)
    list[1] = t
    test.blocked(t)
    gate:send()
    local ok, err = t:join()
    assert.is_false(ok)
    assert.is_true(err == "first" or killed(err))
  end)

  it("ends although a child swallows its kill", function()
    local began = green.now()
    local list = {}
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          list[1] = "cleaned up"
        end})
        while true do pcall(green.sleep, 1) end
      end)
      g:spawn(fails, 0.1, "x")
    end)
    assert.same({false, "x"}, {ok, err})
    assert.same({"cleaned up"}, list)
    assert.is_true(green.now() - began <= 2 * green.config().grace + 1)
  end)

  it("whose body swallows its kill is closed by force", function()
    local list, group = {}, nil
    local t = green.spawn(function()
      local g <close> = green.group()
      group = g
      g:spawn(sleeper, list, "child")
      while true do pcall(green.sleep, 1) end
    end)
    test.blocked(t)
    t:kill()
    t:join()
    assert.equal("killed", t:status())
    green.sleep(1)
    assert.same({"child"}, list)
    assert.matches("the group is closed", select(2, pcall(group.spawn, group,
      print)))
  end)

  it("closed twice is closed once", function()
    local g = green.group()
    g:spawn(fails, 0.1, "x")
    local close = getmetatable(g).__close
    assert.same({false, "x"}, {pcall(close, g)})
    assert.is_true(pcall(close, g))
    green.sleep(0)
    assert.is_nil(green.interrupted())
  end)

  it("whose thread ends without closing it hands its failure to on_error",
    function()
      local cleaned = {}
      local list = help.collecting(function(errors)
        green.spawn(function()
          local g = green.group()
          g:spawn(sleeper, cleaned, "sibling")
          g:spawn(fails, 1, "x")
        end):wait()
        test.wait_until(function() return #errors == 1 and #cleaned == 1 end)
      end)
      assert.equal("x", list[1].err)
    end)

  it("in a generator that is never resumed hands its failure to on_error",
    function()
      local list = help.collecting(function(errors)
        do
          local gen = coroutine.wrap(function()
            local g <close> = green.group()
            g:spawn(fails, 1, "x")
            coroutine.yield(1)
          end)
          assert.equal(1, gen())
        end
        green.sleep(2)
        collectgarbage()
        collectgarbage()
        test.wait_until(function() return #errors == 1 end)
      end)
      assert.equal("x", list[1].err)
      green.sleep(0)
      assert.is_nil(green.interrupted())
    end)

  it("in a generator strikes when that is resumed, and only there", function()
    local strike
    local gen = coroutine.wrap(function()
      local g <close> = green.group()
      g:spawn(fails, 1, "x")
      coroutine.yield(1)
      strike = select(2, pcall(green.sleep, 1))
    end)
    gen()
    green.sleep(2)
    assert.is_nil(green.interrupted())
    assert.same({false, "x"}, {pcall(gen)})
    assert.equal("child_failed", green.type(strike))
    green.sleep(0)
  end)

  long("of 10,000 children raises one failure, reports the rest", function()
    local n = 0
    local former = green.on_error(function() n = n + 1 end)
    local ok, err = pcall(function()
      local g <close> = green.group()
      for i = 1, 10000 do
        local bad = i % 100 == 1
        g:spawn(bad and fails or green.sleep, bad and 0 or 1e6, "x")
      end
    end)
    assert.same({false, "x"}, {ok, err})
    green.sleep(1)
    green.on_error(former)
    assert.is_true(n < 100)
  end)

  it("refuses misuse", function()
    for _, n in ipairs {0, -1, 0.5, 0 / 0, "3", {}, false} do
      local ok, err = pcall(green.group, n)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'group'", err)
    end
    local g <close> = green.group()
    assert.matches("function expected", select(2, pcall(g.spawn, g, 3)))
    assert.matches("pool or group", select(2, pcall(g.spawn, nil, print)))
    assert.is_false(pcall(g.wait, g, 0 / 0))
    assert.equal("group", green.type(g))
    assert.is_false(green.pcall(green.group().wait, {}))
  end)

  fifo("respects max_threads", function()
    help.with_config({max_threads = green.stats().threads + 1}, function()
      local g <close> = green.group()
      g:spawn(green.sleep, 1)
      local ok, err = pcall(g.spawn, g, print)
      assert.is_false(ok)
      assert.matches("too many green threads", err)
    end)
  end)

  it("reports under max_threads, too", function()
    local list = help.collecting(function(errors)
      help.with_config({max_threads = green.stats().threads + 1}, function()
        pcall(function()
          local g <close> = green.group()
          g:spawn(fails, 0.1, "first")
          pcall(green.sleep, 1)
          green.spawn_n(function() pcall(green.sleep, 50) end)
          error("later", 0)
        end)
        test.wait_until(function() return #errors == 1 end)
        green.sleep(60)
      end)
    end)
    assert.equal("later", list[1].err)
  end)

  it("is collected when it is dropped, and strikes nobody then", function()
    local weak = setmetatable({}, {__mode = "k"})
    for _ = 1, 10 do
      local g = green.group()
      weak[g] = true
      g:spawn(green.sleep, 1)
      g:wait()
    end
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(next(weak))
    assert.is_nil(green.interrupted())
  end)
end)
