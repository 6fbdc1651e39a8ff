--- The promises of every blocking thing, checked for each of them: the specs
--- named waits_spec.lua list them, and a new one gets a row there:
---
---   make()       a fresh object, on which a wait would block
---   wait(o, s)   the call under test
---   satisfy(o)   makes one waiting call return; never switches
---   value        what it returns then
---   all          satisfy() wakes every waiter, not the first one only
---   late         satisfy() wakes the waiter some turns later
---   done         a wait that was satisfied has had its effect: the next waiter
---                needs a satisfaction of its own
---   rest(o)      optional: how many satisfactions nobody has taken
---   what         optional: how t:blocked() calls it
---   limitless    it takes no limit, and blocks all where blocking is refused:
---                what is about these is left out
---   unordered    its waiters are woken at once, but by other processes
---   single       only one thread may wait: what is about two is left out
---   nameless     its refusal of a second one does not name the first
---   keeps        the call keeps its C stack: nobody can close its coroutine
---   steps        it waits more than once: its end comes some waits later
---   close(o)     optional: closes it; then each wait returns nil, "closed"
---   clean(o)     optional: ends what make() began
---   case(o)      optional: what select waits for to do the same; then all of
---                this is checked for select and for a selector, too
---   picked(o, ...)  optional: value, from what select returns after the number
---
--- SPDX-License-Identifier: MIT

local assert = require "luassert"
local green = require "green"
local help = require "spec.help"

green.monkey_patch {io = true, os = true}

local promises = {}

--- A thread that ends when its gate is opened.
function promises.gate()
  local e = green.event()
  local t = green.spawn(function()
    e:wait()
    return "result"
  end)
  help.blocked(t)
  return {e = e, t = t}
end

function promises.open_gate(o)
  if not o.e:ready() then o.e:send() end
end

function promises.itself(o) return o end

local function nothing() end

--- A thread that waits, and a function that tells its coroutine.
local function own_coroutine(wait, o)
  local co
  return green.spawn(function()
    co = coroutine.running()
    wait(o)
  end), function() return co end
end

--- Turns the results of a select over the thing alone into those of its wait.
local function picking(row)
  local picked = row.picked or function(_, v, err) return v, err end
  return function(o, at, ...)
    if at == nil then return nil, ... end
    assert(at == 1)
    return picked(o, ...)
  end
end

local function copied(row, name)
  local copy = {}
  for key, value in pairs(row) do copy[key] = value end
  copy.name = name
  return copy
end

local function selected(row)
  local pick, copy = picking(row), copied(row, "select of " .. row.name)
  function copy.wait(o, s) return pick(o, green.select({row.case(o)}, s)) end
  return copy
end

--- A selector's cases stand in their lists before it waits, as after a call
--- that found nothing.
local function kept(row)
  local pick, copy = picking(row), copied(row, "selector over " .. row.name)
  function copy.wait(o, s)
    local selector = green.selector {row.case(o)}
    if s and s <= 0 or green.interrupted() then
      return pick(o, selector:select(s))
    end
    local value, err = pick(o, selector:select(0))
    if value or err ~= "timeout" then return value, err end
    return pick(o, selector:select(s))
  end
  return copy
end

--- The rows, then those for select and selectors.
local function with_selects(things)
  local all = table.move(things, 1, #things, 1, {})
  for _, row in ipairs(things) do
    if row.case then
      all[#all + 1] = selected(row)
      local is_pair = type(row.case(row.make())) == "table"
      if not is_pair then all[#all + 1] = kept(row) end
    end
  end
  return all
end

local function check(describe, it, row)
  local make, wait, satisfy = row.make, row.wait, row.satisfy
  local clean = row.clean or function() end

  local function waiter(o, s)
    return green.spawn(function() return (wait(o, s)) end)
  end

  --- Tests that need two waiters.
  local function both_if_many(name, f)
    if not row.single then help.both(it, name, f) end
  end

  local bounded = row.limitless and nothing or it

  describe(row.name, function()
    help.both(it, "blocks until it is satisfied, and returns its value",
      function()
        local o = make()
        local t = waiter(o)
        help.blocked(t)
        green.sleep(0)
        assert.equal("blocked", t:status())
        local what = t:blocked().what
        assert.equal(row.what or type(what), row.what and what or "string")
        satisfy(o)
        assert.equal(row.value, t:wait())
      end)

    it("works in the main thread", function()
      local o = make()
      green.spawn_n(satisfy, o)
      assert.equal(row.value, (wait(o)))
    end)

    help.both(bounded, "with a limit of 0 or less never switches", function()
      local o, ran = make(), false
      green.spawn(function() ran = true end)
      green.atomic(function()
        for _, s in ipairs {0, -1, -math.huge, 0.0} do
          for _ = 1, 100 do
            local v, err = wait(o, s)
            assert(v == nil and err == "timeout")
          end
        end
        assert.is_false(ran)
      end)
      satisfy(o)
      clean(o)
      green.sleep(0)
    end)

    local never = "with a limit of 0 never raises an interruption"
    help.both(bounded, never, function()
      local o = make()
      local t = green.spawn(function()
        green.current():kill()
        green.current():throw("x")
        local a, b = wait(o, 0)
        return a, b
      end)
      assert.same({nil, "timeout"}, {t:wait()})
      satisfy(o)
      clean(o)
    end)

    local over = "with a limit returns nil, timeout, never early"
    help.both(bounded, over, function()
      local o = make()
      local t = green.spawn(function()
        for _, s in ipairs {1e-9, 0.0001, 0.001, 0.0037} do
          local began = green.now()
          local v, err = wait(o, s)
          assert(v == nil and err == "timeout", tostring(v))
          assert(green.now() - began >= s)
        end
        return true
      end)
      t:wait()
      satisfy(o)
      clean(o)
    end)

    help.both(bounded, "with a limit that is not reached returns the value, "
      .. "and the limit is forgotten", function()
        local timers = green.stats().timers
        local o = make()
        local t = waiter(o, 60)
        help.blocked(t)
        assert.equal(timers + 1, green.stats().timers)
        satisfy(o)
        assert.equal(row.value, t:wait())
        assert.equal(timers, green.stats().timers)
      end)

    bounded("raises on a limit that is NaN or no number", function()
      local o = make()
      assert.is_false(pcall(wait, o, 0 / 0))
      assert.is_false(pcall(wait, o, "soon"))
      assert.is_false(pcall(wait, o, {}))
      satisfy(o)
      clean(o)
    end)

    help.both(it, "is interrupted by kill, throw and timeout", function()
      local o = make()
      local t = waiter(o)
      help.blocked(t)
      t:kill("k")
      local _, err = t:join()
      assert.equal("killed", green.type(err))
      t = waiter(o)
      help.blocked(t)
      t:throw("thrown")
      assert.same({false, "thrown"}, {t:join()})
      t = green.spawn(function()
        local to <close> = green.timeout(0.001)
        local ok, e = pcall(wait, o)
        return not ok and e == to
      end)
      assert.is_true(t:wait())
      t = waiter(o)
      help.blocked(t)
      satisfy(o)
      assert.equal(row.value, t:wait())
    end)

    help.both(it, "raises on entry what is pending, before any effect",
      function()
        local o = make()
        satisfy(o)
        if row.late and o.t then
          help.wait_until(function() return o.t:status() == "done" end)
        end
        local t = green.spawn(function()
          green.current():kill()
          local ok, err = pcall(wait, o)
          return ok, green.type(err)
        end)
        assert.same({false, "killed"}, {t:wait()})
        if row.rest then assert.equal(1, row.rest(o)) end
      end)

    help.both(row.steps and function() end or it,
      "returns its result when an interruption comes in the same "
      .. "turn, which strikes at the next call", function()
        local o = make()
        local value, next_call
        local t = green.spawn(function()
          value = wait(o)
          next_call = select(2, pcall(green.sleep, 0))
        end)
        help.blocked(t)
        satisfy(o)
        if row.late then
          help.woken(t)
        end
        t:kill()
        t:join()
        assert.equal(row.value, value)
        assert.equal("killed", green.type(next_call))
      end)

    local ordered = row.unordered and nothing or both_if_many
    ordered("wakes its waiters first come, first served", function()
      local o, order, ts = make(), {}, {}
      for i = 1, 8 do
        ts[i] = green.spawn(function()
          wait(o)
          order[#order + 1] = i
        end)
        help.blocked(ts[i])
      end
      for _ = 1, row.all and 1 or 8 do
        satisfy(o)
        if not row.all then green.sleep(0) end
      end
      for i = 1, 8 do ts[i]:join() end
      for i = 1, 8 do assert.equal(i, order[i]) end
    end)

    for _, how in ipairs {"kill", "throw", "limit", "timeout"} do
      local fits = how == "limit" and row.limitless and nothing or both_if_many
      fits("serves the second of two when the first ends by a "
        .. how, function()
          local o = make()
          local a = green.spawn(function()
            local _ <close> = green.timeout(how == "timeout" and 0.001 or nil)
            return wait(o, how == "limit" and 0.001 or nil)
          end)
          local b = waiter(o)
          help.blocked(b)
          if how == "kill" then a:kill() end
          if how == "throw" then a:throw("x") end
          a:join()
          satisfy(o)
          assert.equal(row.value, b:wait())
          if row.rest then assert.equal(0, row.rest(o)) end
        end)
    end

    local closable = row.keeps and function() end or it
    closable("whose coroutine is closed by foreign code ends the thread as "
      .. "killed", function()
        help.with_config({keep_stacks = 0}, function()
          local o = make()
          local t, co_of = own_coroutine(wait, o)
          local b = not row.single and waiter(o)
          help.blocked(t, b or nil)
          assert.is_true(coroutine.close(co_of()))
          local ok, err = t:join()
          assert.is_false(ok)
          assert.equal("killed", green.type(err))
          b = b or waiter(o)
          help.blocked(b)
          satisfy(o)
          assert.equal(row.value, b:wait())
        end)
      end)

    if not row.single then
      closable("closed by foreign code after it was satisfied, gives that to "
        .. "the next", function()
        help.with_config({keep_stacks = 0}, function()
          local o = make()
          local t, co_of = own_coroutine(wait, o)
          help.blocked(t)
          local b = waiter(o)
          help.blocked(b)
          satisfy(o)
          if row.late then
            help.woken(t)
          end
          coroutine.close(co_of())
          assert.equal("killed", t:status())
          if row.done then satisfy(o) end
          assert.equal(row.value, b:wait())
        end)
      end)
    end

    help.both(it, "is untouched by a foreign resume", function()
      local o = make()
      local co
      local t = green.spawn(function()
        co = coroutine.running()
        return (wait(o))
      end)
      help.blocked(t)
      for _ = 1, 3 do coroutine.resume(co, "nonsense") end
      assert.equal("blocked", t:status())
      satisfy(o)
      if row.late then
        help.wait_until(function() return t:status() ~= "blocked" end)
      end
      for _ = 1, 3 do coroutine.resume(co, "nonsense") end
      assert.equal(row.value, t:wait())
    end)

    both_if_many("works in nested coroutines and inside table.sort",
      function()
        local o, ts = make(), {}
        ts[1] = green.spawn(function()
          return coroutine.wrap(function()
            return coroutine.wrap(function() return (wait(o)) end)()
          end)()
        end)
        ts[2] = green.spawn(function()
          local v
          table.sort({1, 2}, function(a, b)
            if not v then v = wait(o) end
            return a < b
          end)
          return v
        end)
        help.blocked(ts[1], ts[2])
        satisfy(o)
        if not row.all then satisfy(o) end
        assert.equal(row.value, ts[1]:wait())
        assert.equal(row.value, ts[2]:wait())
      end)

    if row.single then
      help.both(it, "works in a coroutine inside table.sort", function()
        local o = make()
        green.spawn(satisfy, o)
        coroutine.wrap(function()
          local v
          table.sort({1, 2}, function(a, b)
            if not v then v = wait(o) end
            return a < b
          end)
          assert.equal(row.value, v)
        end)()
        clean(o)
      end)

      help.both(it, "refuses a second waiter, and names the first", function()
        local o = make()
        local t = help.blocked(waiter(o))
        local ok, err = pcall(wait, o)
        assert.is_false(ok)
        if not row.nameless then
          assert.matches("already being read by green thread #" .. t.id, err)
        end
        satisfy(o)
        assert.equal(row.value, t:wait())
        clean(o)
      end)
    end

    if row.close then
      help.both(it, "after close returns nil, closed, and so does who waited",
        function()
          local o = make()
          local t = green.spawn(wait, o)
          help.blocked(t)
          row.close(o)
          assert.same({nil, "closed"}, {t:wait()})
          assert.same({nil, "closed"}, {wait(o)})
          assert.same({nil, "closed"}, {wait(o, 0)})
          assert.same({nil, "closed"}, {wait(o, 60)})
          clean(o)
        end)
    end

    bounded("is refused in a finalizer, and may be tried there", function()
      local o = make()
      local blocked, tried
      local function garbage()
        setmetatable({}, {__gc = function()
          blocked = table.pack(pcall(wait, o))
          tried = table.pack(wait(o, 0))
        end})
      end
      garbage()
      collectgarbage()
      assert.is_false(blocked[1])
      assert.matches("finalizer", blocked[2])
      assert.same({n = 2, nil, "timeout"}, tried)
      satisfy(o)
      clean(o)
    end)

    help.both(it, "leaves nothing behind", function()
      help.leaves_nothing(function()
        help.collecting(function(errors)
          local o = make()
          local ts = {}
          for i = 1, 5 do
            ts[i] = help.blocked(waiter(o, i % 2 == 0 and 60 or nil))
            if i == 1 then ts[i]:kill() end
            if i == 2 then ts[i]:throw("x") end
            help.wait_until(function()
              return i > 2 or ts[i]:status() == "killed"
                or ts[i]:status() == "failed"
            end)
            if row.single and i > 2 then
              satisfy(o)
              ts[i]:join()
            end
          end
          for _ = 1, row.single and 0 or row.all and 1 or 3 do satisfy(o) end
          for i = 3, 5 do ts[i]:join() end
          clean(o)
          help.wait_until(function() return #errors == 1 end)
        end)
      end)
    end)
  end)
end

--- Checks each row, and those that select makes of it, by busted's functions.
function promises.check(describe, it, things)
  for _, row in ipairs(with_selects(things)) do check(describe, it, row) end
end

return promises
