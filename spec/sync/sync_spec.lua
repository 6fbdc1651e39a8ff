-- Flags, conditions, semaphores, locks and waitgroups: their own behaviour.
-- waits_spec.lua has the promises of every wait.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"

local blocked, wait_until = test.blocked, test.wait_until
local seeded = test.it(it)

--- Each body runs under both stack policies, in an order that a seed decides.
local function both(name, body)
  for keep, policy in pairs {[256] = "keeping", [0] = "leaving"} do
    seeded(("%s, %s stacks"):format(name, policy), function()
      green.config {keep_stacks = keep}
      body()
    end)
  end
end

local function raises(pattern, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.matches(pattern, err)
end

--- A thread that can be closed by foreign code while it waits: its coroutine
--- is in the table returned second.
local function exposed(f, ...)
  local o = {}
  local t = green.spawn(function(...)
    o.co = coroutine.running()
    return f(...)
  end, ...)
  blocked(t)
  return t, o
end

--- Runs f in a finalizer.
local function finalize(f)
  local done
  do
    setmetatable({}, {__gc = function()
      f()
      done = true
    end})
  end
  wait_until(function()
    collectgarbage()
    return done
  end, "finalized")
end

describe("their arguments", function()
  local makers = {
    flag = green.flag, condition = green.condition, lock = green.lock,
    waitgroup = green.waitgroup,
    semaphore = function() return green.semaphore(1) end,
  }

  it("are checked, and errors name function and argument", function()
    local function refused(n, name, why, ...)
      raises(("bad argument #%d to '[%%w.]*%s' %%(.*%s"):format(n, name, why),
        green[name], ...)
    end
    refused(1, "flag", "boolean expected, got string", "x")
    refused(1, "lock", "boolean expected, got number", 1)
    refused(1, "semaphore", "number expected, got no value")
    refused(1, "semaphore", "permits must not be negative", -1)
    refused(1, "semaphore", "integer", 1.5)
    refused(2, "semaphore", "at least 1", 0, 0)
    refused(2, "semaphore", "at least 1", 3, 2)
    refused(1, "waitgroup", "the count must not be negative", -1)
    raises("bad argument #1 to 'add' %(number expected, got string%)",
      function() green.waitgroup():add("x") end)
    raises("bad argument #1 to 'acquire' %(seconds expected, got NaN%)",
      function() green.lock():acquire(0 / 0) end)
  end)

  it("are refused where a method is given another object", function()
    for name, make in pairs(makers) do
      local o = make()
      local wait = o.wait or o.acquire
      for _, other in ipairs {green.queue(), io.stdout, 1, {}, "x"} do
        raises("green." .. name .. " expected", wait, other)
      end
      raises("green." .. name .. " expected", wait)
    end
  end)

  it("do not matter for what they are", function()
    for name, make in pairs(makers) do
      assert.equal(name, green.type(make()))
      assert.matches("^green." .. name .. ": ", tostring(make()))
    end
  end)
end)

describe("they", function()
  it("are told by t:blocked()", function()
    local l = green.lock()
    local _ <close> = l:acquire()
    local rows = {
      {"flag:wait", green.flag(), "wait"},
      {"condition:wait", green.condition(), "wait"},
      {"semaphore:acquire", green.semaphore(0), "acquire"},
      {"lock:acquire", l, "acquire"},
      {"waitgroup:wait", green.waitgroup(1), "wait"},
    }
    for _, row in ipairs(rows) do
      local what, o, method = table.unpack(row)
      local t <close> = green.spawn(function() o[method](o) end)
      blocked(t)
      local w = t:blocked()
      assert.equal(what, w.what)
      assert.equal(o, w.on)
    end
  end)

  it("are named when nothing can go on", function()
    local ok, err = pcall(test.run, function() green.semaphore(0):acquire() end)
    assert.is_false(ok)
    assert.matches("semaphore:acquire", tostring(err))
  end)

  both("are set, signalled and released in finalizers, and wake", function()
    local f, c, s, w = green.flag(), green.condition(), green.semaphore(0),
      green.waitgroup(1)
    local ts = {
      green.spawn(f.wait, f), green.spawn(c.wait, c), green.spawn(s.acquire, s),
      green.spawn(w.wait, w),
    }
    blocked(table.unpack(ts))
    finalize(function()
      f:set()
      f:clear()
      c:signal()
      c:broadcast()
      s:release()
      w:add(2)
      w:done()
      w:add(-2)
    end)
    for _, t in ipairs(ts) do t:wait() end
  end)
end)

describe("a flag", function()
  both("lets waits through while it is set", function()
    local f = green.flag()
    assert.is_false(f:is_set())
    assert.same({nil, "timeout"}, {f:wait(0)})
    f:set()
    f:set()
    assert.is_true(f:is_set())
    assert.is_true(f:wait())
    assert.is_true(f:wait(0))
    f:clear()
    assert.is_false(f:is_set())
    assert.same({nil, "timeout"}, {f:wait(1)})
    assert.is_true(green.flag(true):is_set())
    assert.is_false(green.flag(false):is_set())
  end)

  both("that is cleared before a waiter runs has let it through all the same",
    function()
      local f = green.flag()
      local t = green.spawn(f.wait, f)
      blocked(t)
      f:set()
      f:clear()
      local late = green.spawn(f.wait, f, 1)
      assert.is_true(t:wait())
      assert.same({nil, "timeout"}, {late:wait()})
    end)
end)

describe("a condition", function()
  both("forgets a signal for which nobody waits", function()
    local c = green.condition()
    c:signal()
    c:broadcast()
    assert.same({nil, "timeout"}, {c:wait(1)})
  end)

  both("wakes one for each signal, first come, first served", function()
    local c, woken, ts = green.condition(), {}, {}
    for i = 1, 4 do
      ts[i] = green.spawn(function()
        c:wait()
        woken[i] = true
      end)
      blocked(ts[i])
    end
    c:signal()
    c:signal()
    green.sleep(1)
    assert.same({true, true}, woken)
    c:broadcast()
    for i = 3, 4 do ts[i]:wait() end
  end)

  both("does not pass a broadcast on to those who came after it", function()
    green.config {keep_stacks = 0}
    local c = green.condition()
    local t, o = exposed(c.wait, c)
    c:broadcast()
    local late = green.spawn(c.wait, c, 1)
    -- the order may have run t before late is there
    wait_until(function() return late:status() ~= "new" end)
    if t:status() == "ready" then coroutine.close(o.co) end
    assert.same({nil, "timeout"}, {late:wait()})
  end)
end)

describe("a waitgroup", function()
  both("lets waits through when as much is done as was added", function()
    local w = green.waitgroup(2)
    w:add()
    w:add(2)
    assert.equal(5, w:count())
    local t = green.spawn(w.wait, w)
    blocked(t)
    for _ = 1, 4 do w:done() end
    assert.same({nil, "timeout"}, {w:wait(0)})
    w:add(-1)
    w:add(3)
    assert.is_true(t:wait())
    assert.same({nil, "timeout"}, {w:wait(0)})
    w:add(-3)
    assert.is_true(w:wait())
    assert.is_true(green.waitgroup():wait(0))
  end)

  it("never counts below 0, nor beyond the integers", function()
    local w = green.waitgroup(1)
    raises("bad argument #1 to 'add' %(the count would be negative%)",
      function() w:add(-2) end)
    raises("bad argument #1 to 'add' %(the count would be negative%)",
      function() w:add(math.mininteger) end)
    raises("bad argument #1 to 'add' %(the count is too large%)",
      function() w:add(math.maxinteger) end)
    w:done()
    raises("'done' called more often than was added", w.done, w)
    assert.equal(0, w:count())
  end)
end)

describe("a semaphore", function()
  both("has n permits", function()
    local s = green.semaphore(2)
    assert.is_truthy(s:acquire())
    assert.is_truthy(s:acquire(0))
    assert.equal(0, s:count())
    assert.same({nil, "timeout"}, {s:acquire(0)})
    s:release()
    assert.equal(1, s:count())
    for _ = 1, 3 do s:release() end
    assert.equal(4, s:count())
  end)

  it("with a most of permits raises when it has all of them", function()
    local s = green.semaphore(1, 2)
    s:release()
    raises("the semaphore has all of its 2 permits already", s.release, s)
    assert.equal(2, s:count())
    green.semaphore(0, 1):release()
  end)

  both("hands a permit to the first waiter: who comes later waits, too",
    function()
      local s, order = green.semaphore(1), {}
      local function use(name)
        s:acquire()
        order[#order + 1] = name
      end
      s:acquire()
      local a = green.spawn(use, "a")
      blocked(a)
      local b = green.spawn(use, "b")
      blocked(b)
      s:release()
      assert.equal(0, s:count())
      assert.same({nil, "timeout"}, {s:acquire(0)})
      s:release()
      assert.same({nil, "timeout"}, {s:acquire(0)})
      a:wait()
      b:wait()
      s:release()
      assert.is_truthy(s:acquire(0))
      table.sort(order) -- any order, but the same threads
      assert.same({"a", "b"}, order)
    end)

  both("passes a permit on from one that is closed before it runs, in either "
    .. "order of waiting", function()
      green.config {keep_stacks = 0}
      for first = 1, 2 do
        local s = green.semaphore(0)
        local ts, os = {}, {}
        for i = 1, 2 do ts[i], os[i] = exposed(s.acquire, s) end
        s:release()
        assert.equal("ready", ts[1]:status())
        coroutine.close(os[first].co)
        assert.equal("killed", ts[first]:status())
        ts[3 - first]:wait()
        assert.equal(0, s:count())
        s:release()
        assert.equal(1, s:count())
      end
    end)

  both("has its permit back when the only one that was handed it is closed",
    function()
      green.config {keep_stacks = 0}
      local s = green.semaphore(0)
      local t, o = exposed(s.acquire, s)
      s:release()
      coroutine.close(o.co)
      assert.equal("killed", t:status())
      assert.equal(1, s:count())
    end)

  both("has a guard that releases however its block is left", function()
    local s = green.semaphore(1, 1)
    local function block(f)
      local guard <close> = s:acquire()
      assert.equal("guard", green.type(guard))
      assert.equal(0, s:count())
      return f()
    end
    assert.equal(1, block(function() return 1 end))
    assert.equal(1, s:count())
    assert.is_false(pcall(block, function() error("x") end))
    assert.equal(1, s:count())
    local t = green.spawn(block, green.sleep)
    t:join()
    t = green.spawn(block, function() green.sleep(60) end)
    blocked(t)
    t:kill()
    t:join()
    assert.equal(1, s:count())
    local co
    t = green.spawn(function()
      co = coroutine.wrap(block)
      co(coroutine.yield)
      co()
    end)
    t:join()
    assert.equal(1, s:count())
  end)

  both("has one guard: to acquire allocates nothing", function()
    local s, l = green.semaphore(3), green.lock()
    assert.equal(s:acquire(), s:acquire())
    collectgarbage()
    collectgarbage("stop")
    l:acquire()
    l:release()
    local before = collectgarbage("count")
    for _ = 1, 1000 do
      s:acquire(0)
      s:release()
      l:acquire(0)
      l:release()
    end
    local after = collectgarbage("count")
    collectgarbage("restart")
    assert.equal(before, after)
  end)

  it("has a guard that may be nil", function()
    local s = green.semaphore(0)
    do
      local held <close>, err = s:acquire(0)
      assert.is_nil(held)
      assert.equal("timeout", err)
    end
    assert.equal(0, s:count())
  end)

  it("has no __close itself, nor has a lock", function()
    for _, o in ipairs {green.semaphore(1), green.lock()} do
      assert.is_false(pcall(function() local _ <close> = o end))
    end
  end)
end)

describe("a lock", function()
  both("has one owner, and hands itself to the first waiter", function()
    local l, order = green.lock(), {}
    assert.is_nil(l:owner())
    l:acquire()
    assert.equal(green.current(), l:owner())
    local ts = {}
    for i = 1, 3 do
      ts[i] = green.spawn(function()
        local _ <close> = l:acquire()
        order[#order + 1] = i
        green.sleep(1)
      end)
      blocked(ts[i])
    end
    l:release()
    assert.equal(ts[1], l:owner())
    assert.same({nil, "timeout"}, {l:acquire(0)})
    for i = 1, 3 do ts[i]:wait() end
    assert.same({1, 2, 3}, order)
    assert.is_nil(l:owner())
  end)

  both("refuses its owner, unless it is reentrant", function()
    local l = green.lock()
    l:acquire()
    raises("already owned by this green thread, #%d+ ", l.acquire, l)
    raises("already owned by this green thread", l.acquire, l, 0)
    raises("already owned by this green thread", green.select, {l})
    l:release()
    assert.is_nil(l:owner())

    l = green.lock(true)
    for _ = 1, 3 do assert.is_truthy(l:acquire()) end
    assert.equal(1, (green.select {l}))
    local t = green.spawn(l.acquire, l, 1)
    for _ = 1, 3 do
      l:release()
      assert.equal(green.current(), l:owner())
    end
    assert.same({nil, "timeout"}, {t:wait()})
    do
      local _ <close> = l:acquire()
    end
    assert.equal(green.current(), l:owner())
    l:release()
    assert.is_nil(l:owner())
  end)

  both("is released by its owner only, and the error names both", function()
    local l = green.lock()
    raises("#%d+ .*cannot release the lock: nobody owns it", l.release, l)
    local t <close> = green.spawn(function()
      green.current().name = "holder"
      local _ <close> = l:acquire()
      green.sleep(60)
    end)
    blocked(t)
    raises("#" .. green.current().id .. " .*cannot release the lock: "
      .. "green thread #" .. t.id .. " holder owns it", l.release, l)
    assert.equal(t, l:owner())
  end)

  local ends = {
    ["returns"] = function() end,
    ["fails"] = function() error("failed", 0) end,
    ["is killed"] = function()
      green.current():kill()
      green.sleep(0)
    end,
    ["is killed by force"] = function()
      green.current():kill()
      while true do pcall(green.sleep, 0) end
    end,
    ["yields to nobody"] = function() coroutine.yield() end,
  }
  for how, f in pairs(ends) do
    both("whose owner " .. how .. " is an error to the first waiter alone",
      function()
        local l = green.lock()
        local owner = green.spawn(function()
          green.current().name = "careless"
          l:acquire()
          green.sleep(1)
          f()
        end)
        blocked(owner)
        local ts = {}
        for i = 1, 3 do
          ts[i] = green.spawn(pcall, function()
            local _ <close> = l:acquire()
            assert(l:owner() == green.current())
            green.sleep(1)
            return i
          end)
          blocked(ts[i])
        end
        owner:join()
        local ok, err = ts[1]:wait()
        assert.is_false(ok)
        assert.matches("the lock was abandoned: green thread #" .. owner.id
          .. " careless ended while it owned it", err)
        assert.same({true, 2}, {ts[2]:wait()})
        assert.same({true, 3}, {ts[3]:wait()})
        assert.is_nil(l:owner())
      end)

    both("whose owner " .. how .. " is an error to the next newcomer alone",
      function()
        local l, other = green.lock(), green.lock()
        green.spawn(function()
          l:acquire()
          other:acquire()
          f()
        end):join()
        assert.is_nil(l:owner())
        raises("abandoned", l.acquire, l, 0)
        assert.is_nil(l:owner())
        assert.is_truthy(l:acquire(0))
        l:release()
        raises("abandoned", green.select, {other, green.queue()})
        assert.equal(1, (green.select {other}))
        other:release()
      end)
  end

  both("is not abandoned where a guard was closed", function()
    local l = green.lock()
    for how, f in pairs(ends) do
      if how ~= "yields to nobody" then
        local t = green.spawn(function()
          local _ <close> = l:acquire()
          f()
        end)
        t:join()
        assert.is_truthy(l:acquire(0), how)
        l:release()
      end
    end
  end)

  both("is released by its guard when foreign code closes the owner", function()
    green.config {keep_stacks = 0}
    local l = green.lock()
    local t, o = exposed(function()
      local _ <close> = l:acquire()
      green.sleep(60)
    end)
    coroutine.close(o.co)
    assert.equal("killed", t:status())
    assert.is_truthy(l:acquire(0))
    l:release()
  end)

  both("without a guard is abandoned when foreign code closes the owner",
    function()
      green.config {keep_stacks = 0}
      local l = green.lock()
      local t, o = exposed(function()
        l:acquire()
        green.sleep(60)
      end)
      coroutine.close(o.co)
      raises("green thread #" .. t.id, l.acquire, l)
      assert.is_truthy(l:acquire(0))
      l:release()
    end)

  both("that was handed to a thread which is closed before it runs goes on to "
    .. "the next, and is not abandoned", function()
      green.config {keep_stacks = 0}
      for first = 1, 2 do
        local l = green.lock()
        local ts, os = {}, {}
        l:acquire()
        for i = 1, 2 do
          ts[i], os[i] = exposed(function()
            local _ <close> = l:acquire()
            return i
          end)
        end
        l:release()
        coroutine.close(os[first].co)
        assert.equal(3 - first, ts[3 - first]:wait())
        assert.is_nil(l:owner())
        assert.is_truthy(l:acquire(0))
        l:release()
      end
    end)

  both("that was handed to a thread which is closed before it runs goes on to "
    .. "the next, also where the thread's guard is closed with it", function()
      green.config {keep_stacks = 0}
      local l, go_on = green.lock(), green.event()
      local t, o = exposed(function()
        local _ <close> = l:acquire()
        go_on:wait()
        l:release()
        l:acquire()
      end)
      local other = green.spawn(function()
        l:acquire()
        blocked(t)
        local next_one = green.spawn(function()
          local _ <close> = l:acquire()
          return "next"
        end)
        blocked(next_one)
        l:release()
        assert.equal(t, l:owner())
        coroutine.close(o.co)
        assert.equal(next_one, l:owner())
        assert.equal("next", next_one:wait())
      end)
      blocked(other)
      go_on:send()
      other:wait()
      assert.equal("killed", t:status())
      assert.is_truthy(l:acquire(0))
      l:release()
    end)

  both("passes the error of an abandoned lock on from one that is closed "
    .. "before it was told", function()
      green.config {keep_stacks = 0}
      local l = green.lock()
      local owner, own = exposed(function()
        l:acquire()
        green.sleep(60)
      end)
      local a, o = exposed(l.acquire, l)
      local b = green.spawn(l.acquire, l)
      blocked(b)
      local c = green.spawn(function()
        local _ <close> = l:acquire()
        return "got it"
      end)
      blocked(c)
      coroutine.close(own.co)
      assert.equal("killed", owner:status())
      assert.is_nil(l:owner())
      assert.equal("ready", a:status())
      assert.same({nil, "timeout"}, {l:acquire(0)})
      coroutine.close(o.co)
      local ok, err = b:join()
      assert.is_false(ok)
      assert.matches("#" .. owner.id, err)
      assert.equal("got it", c:wait())
    end)

  both("has a guard that does nothing once its owner released by hand",
    function()
      local l = green.lock()
      local t
      do
        local _ <close> = l:acquire()
        t = green.spawn(function()
          local _ <close> = l:acquire()
          green.sleep(2)
        end)
        blocked(t)
        l:release()
        green.sleep(1)
        assert.equal(t, l:owner())
      end
      assert.equal(t, l:owner())
      t:wait()
      assert.is_nil(l:owner())
    end)

  both("that is owned may be collected", function()
    local t = green.spawn(function()
      for _ = 1, 100 do green.lock():acquire() end
      local kept = green.lock()
      kept:acquire()
      for _ = 1, 100 do green.lock():acquire() end
      collectgarbage()
      collectgarbage()
      for _ = 1, 100 do green.lock(true):acquire() end
      collectgarbage()
      return kept
    end)
    local kept = t:wait()
    raises("abandoned", kept.acquire, kept)
  end)

  both("may be used by a finalizer after its own", function()
    local l, t
    do
      local o = setmetatable({}, {__gc = function(o)
        l = o.lock
        t = green.current()
        l:acquire(0)
      end})
      o.lock = green.lock() -- younger: finalized first
    end
    wait_until(function()
      collectgarbage()
      return l
    end)
    assert.equal(t, l:owner())
    l = nil
    collectgarbage()
    collectgarbage()
    local other = green.lock() -- on the list where the other one was
    other:acquire()
    other:release()
  end)

  both("can be released by the owner's finalizers", function()
    local l = green.lock()
    local t = green.spawn(function()
      l:acquire()
      setmetatable({}, {__gc = function() l:release() end})
      collectgarbage()
      collectgarbage()
    end)
    t:wait()
    assert.is_truthy(l:acquire(0))
    l:release()
  end)

  both("knows more than one lock of a thread, in any order", function()
    local ls = {}
    for i = 1, 5 do ls[i] = green.lock() end
    green.spawn(function()
      for i = 1, 5 do ls[i]:acquire() end
      for _, i in ipairs {3, 5, 1} do ls[i]:release() end
    end):wait()
    for _, i in ipairs {1, 3, 5} do assert.is_truthy(ls[i]:acquire(0)) end
    for _, i in ipairs {2, 4} do raises("abandoned", ls[i].acquire, ls[i]) end
    for i = 1, 5, 2 do ls[i]:release() end
  end)
end)

describe("select over locks and semaphores", function()
  both("takes exactly one of those that are free", function()
    local a, b, l = green.semaphore(1), green.semaphore(1), green.lock()
    local i, guard = green.select {a, b, l}
    assert.equal(1, i)
    assert.equal(a:acquire(0) or guard, guard)
    assert.equal(1, b:count())
    assert.is_nil(l:owner())
    assert.equal(2, (green.select {a, b, l}))
    assert.equal(3, (green.select {a, b, l}))
    assert.equal(green.current(), l:owner())
    l:release()
  end)

  both("gives back what it was handed when it is closed before it runs",
    function()
      green.config {keep_stacks = 0}
      local s, l = green.semaphore(0), green.lock()
      l:acquire()
      local function either() return green.select {s, l} end
      local t, o = exposed(either)
      s:release()
      coroutine.close(o.co)
      assert.equal("killed", t:status())
      assert.equal(1, s:count())
      s:acquire()
      t, o = exposed(either)
      l:release()
      assert.equal(t, l:owner())
      coroutine.close(o.co)
      assert.is_nil(l:owner())
      assert.is_truthy(l:acquire(0))
      l:release()
    end)

  -- Threads that take permits and locks, one after the other, alone and by
  -- select, with limits, timeouts, kills and foreign closes at random.
  local function model()
    local sizes, semaphores, used, locks, owners = {}, {}, {}, {}, {}
    for i = 1, 3 do
      sizes[i] = math.random(3)
      semaphores[i] = green.semaphore(sizes[i], sizes[i])
      used[i] = 0
      locks[i] = green.lock(math.random(2) == 1)
    end

    local function check()
      for i = 1, 3 do
        assert(used[i] >= 0 and used[i] <= sizes[i])
        assert(semaphores[i]:count() <= sizes[i] - used[i])
      end
    end

    local function inside(i)
      used[i] = used[i] + 1
      local _ <close> = setmetatable({}, {
        __close = function() used[i] = used[i] - 1 end,
      })
      check()
      if math.random(2) == 1 then green.sleep(math.random() * 3) end
      check()
    end

    local function locked(i)
      assert(owners[i] == nil)
      owners[i] = green.current()
      local _ <close> = setmetatable({}, {
        __close = function() owners[i] = nil end,
      })
      assert(locks[i]:owner() == owners[i])
      if math.random(2) == 1 then green.sleep(math.random() * 3) end
      assert(locks[i]:owner() == owners[i])
    end

    local function limit()
      local n = math.random(4)
      return n > 1 and (n - 2) * math.random() or nil
    end

    local function one(i, s)
      local guard <close> = semaphores[i]:acquire(s)
      if guard then inside(i) end
    end

    local function one_lock(i, s)
      local guard <close> = locks[i]:acquire(s)
      if guard then locked(i) end
    end

    local function any(i, s)
      local j = math.random(3)
      local at, guard = green.select({semaphores[i], locks[j], semaphores[j],
        locks[i]}, s)
      if not at then return end
      local _ <close> = guard
      if at == 1 then inside(i) end
      if at == 2 then locked(j) end
      if at == 3 then inside(j) end
      if at == 4 then locked(i) end
    end

    local coroutines = {}
    local function worker()
      coroutines[green.current()] = coroutine.running()
      for _ = 1, 20 do
        local act = ({one, one_lock, any})[math.random(3)]
        local to <close> = green.timeout(math.random(4) == 1 and 0.5 or nil)
        local ok, err = pcall(act, math.random(3), limit())
        if not ok and err ~= to then error(err, 0) end
      end
    end

    local ts = {}
    for n = 1, 12 do ts[n] = green.spawn(worker) end
    for _ = 1, 6 do
      green.sleep(math.random() * 4)
      local n = math.random(12)
      local t = ts[n]
      if math.random(2) == 1 then
        t:kill()
      elseif t:status() == "ready" or t:status() == "blocked" then
        pcall(coroutine.close, coroutines[t])
      end
      check()
    end
    for _, t in ipairs(ts) do
      local ok, err = t:join()
      assert(ok or green.type(err) == "killed", err)
    end
    for i = 1, 3 do
      assert.equal(0, used[i])
      assert.equal(sizes[i], semaphores[i]:count())
      assert.is_nil(locks[i]:owner())
      assert.is_truthy(locks[i]:acquire(0))
      locks[i]:release()
    end
  end

  for run = 1, 10 do
    both("keeps permits in use and free ones together n, run " .. run, model)
  end
end)

describe("locks at the end of the program", function()
  it("are still their owners' while the others clean up", function()
    local out, how, code = help.child [[
      local green = require "green"
      local locks = {}
      for i = 1, 3 do
        green.spawn(function()
          locks[i]:acquire()
          local _ <close> = setmetatable({}, {__close = function()
            green.shield(1, green.sleep, 0.001)
            assert(locks[i]:owner() == green.current())
            locks[i]:release()
            print("released")
          end})
          green.sleep(60)
        end)
      end
      for i = 1, 3 do locks[i] = green.lock() end
      green.sleep(0)
      for i = 1, 3 do locks[3 + i] = green.lock() end -- finalized first
      locks[6]:acquire()
    ]]
    assert.equal("released\nreleased\nreleased\n", out)
    assert.same({"exit", 0}, {how, code})
  end)
end)
