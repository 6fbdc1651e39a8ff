-- Waiting for many things, of which exactly one goes on.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local test = require "green.test"
local fifo_it = test.it(it, {order = "fifo"})
local it = test.it(it)

local blocked = test.blocked

local function selecting(cases, s)
  return blocked(green.spawn(green.select, cases, s))
end

local function packed(...) return table.pack(...) end

local function fill(q, ...)
  for _, v in ipairs {...} do assert(q:put(v)) end
  return q
end

--- A listener, and a function that connects to it and returns both ends.
local function network()
  local l = assert(green.listen("127.0.0.1", 0))
  local _, port = l:getsockname()
  local function connect() return assert(green.connect("127.0.0.1", port)) end
  return l, connect, function()
    local c = connect()
    return c, assert(l:accept())
  end
end

--- Each kind of case: how it is made, the case, how it gets ready, and what
--- select returns after the number.
local function user_class(thing)
  return setmetatable({thing = thing}, {
    __waitable = function(self) return self.thing end,
  })
end

local kinds = {
  {name = "a thread that returns",
    make = function()
      local q = green.queue()
      return green.spawn(function() return q:get(), nil, "x" end), q
    end,
    ready = function(_, q) q:put(1) end, values = {n = 4, true, 1, nil, "x"}},
  {name = "a thread that fails",
    make = function()
      local q = green.queue()
      return green.spawn(function() error(q:get(), 0) end), q
    end,
    ready = function(_, q) q:put("oops") end, values = {n = 2, false, "oops"}},
  {name = "an event", make = green.event,
    ready = function(e) e:send(1, nil) end, values = {n = 3, true, 1, nil}},
  {name = "an event with an error", make = green.event,
    ready = function(e) e:send_error "bad" end, values = {n = 2, false, "bad"}},
  {name = "a queue's get", make = green.queue,
    ready = function(q) q:put(false) end, values = {n = 1, false}},
  {name = "{queue, \"get\"}",
    make = function()
      local q = green.queue()
      return {q, "get"}, q
    end,
    ready = function(_, q) q:put(1) end, values = {n = 1, 1}},
  {name = "a queue that is closed", make = green.queue,
    ready = function(q) q:close() end, values = {n = 2, nil, "closed"}},
  {name = "a put into a full queue",
    make = function()
      local q = fill(green.queue(1), 0)
      return {q, "put", "v"}, q
    end,
    ready = function(_, q) assert(q:get(0) == 0) end, values = {n = 1, true},
    after = function(_, q) assert.equal("v", q:get(0)) end},
  {name = "a put into a queue that is closed",
    make = function()
      local q = fill(green.queue(1), 0)
      return {q, "put", "v"}, q
    end,
    ready = function(_, q) q:close() end, values = {n = 2, nil, "closed"}},
  {name = "a channel's get", make = green.channel,
    ready = function(c) assert(c:put(7, 0)) end, values = {n = 1, 7},
    edge = true},
  {name = "a channel's put",
    make = function()
      local c = green.channel()
      return {c, "put", 7}, c
    end,
    ready = function(_, c) assert(c:get(0) == 7) end, values = {n = 1, true},
    edge = true},
  {name = "a lifo queue", make = green.lifo_queue,
    ready = function(q) q:put(1) end, values = {n = 1, 1}},
  {name = "a priority queue", make = green.priority_queue,
    ready = function(q) q:put(1) end, values = {n = 1, 1}},
  {name = "a put into a full priority queue",
    make = function()
      local q = fill(green.priority_queue(1, function(a, b)
        return a > b
      end), 1)
      return {q, "put", 2}, q
    end,
    ready = function(_, q) assert(q:get(0) == 1) end, values = {n = 1, true},
    after = function(_, q) assert.equal(2, q:get(0)) end},
  {name = "a flag", make = green.flag,
    ready = function(f) f:set() end, values = {n = 1, true}},
  {name = "a condition", make = green.condition,
    ready = function(c) c:signal() end, values = {n = 1, true}, edge = true},
  {name = "a waitgroup", make = function() return green.waitgroup(1) end,
    ready = function(w) w:done() end, values = {n = 1, true}},
  {name = "a ticker", make = function() return green.ticker(5) end,
    ready = function() green.sleep(5) end, values = {n = 1, 1}},
  {name = "a ticker that is cancelled",
    make = function() return green.ticker(5) end,
    ready = function(k) k:close() end, values = {n = 2, nil, "closed"}},
  {name = "what a user's object stands for",
    make = function()
      local e = green.event()
      return user_class(user_class(e)), e
    end,
    ready = function(_, e) e:send(1) end, values = {n = 2, true, 1}},
  {name = "a user's object in a pair",
    make = function()
      local q = fill(green.queue(1), 0)
      return {user_class(q), "put", "v"}, q
    end,
    ready = function(_, q) q:get(0) end, values = {n = 1, true},
    after = function(_, q) assert.equal("v", q:get(0)) end},
}

for _, kind in ipairs(kinds) do
  describe("select of " .. kind.name, function()
    local function check(r)
      assert.same(kind.values, packed(table.unpack(r, 2, r.n)))
    end

    it("waits for it and returns what its operation returns", function()
      local case, o = kind.make()
      local other = green.queue()
      local t = selecting {other, case, green.event()}
      assert.equal("select", t:blocked().what)
      kind.ready(case, o)
      local r = packed(t:wait())
      assert.equal(2, r[1])
      check(r)
      if kind.after then kind.after(case, o) end
      assert.same({0, 0}, {other:waiting()})
    end)

    it("returns it at once if it is ready, also with a limit of 0", function()
      if kind.edge then return end
      green.on_error(function() end)
      local case, o = kind.make()
      green.sleep(0)
      assert.same({nil, "timeout"}, {green.select({case}, 0)})
      kind.ready(case, o)
      green.sleep(1)
      local r = packed(green.select({green.event(), case}, 0))
      assert.equal(2, r[1])
      check(r)
      if kind.after then kind.after(case, o) end
    end)

    it("gives it up for another that gets ready first", function()
      local case, o = kind.make()
      local q = green.queue()
      local t = selecting {case, q}
      q:put("q")
      assert.same({2, "q"}, {t:wait()})
      local u = selecting {q, case} -- it is still to be had
      kind.ready(case, o)
      local r = packed(u:wait())
      assert.equal(2, r[1])
      check(r)
    end)

    it("listed twice goes on as the first of them, once", function()
      local case, o = kind.make()
      local t = selecting {case, case}
      kind.ready(case, o)
      local r = packed(t:wait())
      assert.equal(1, r[1])
      check(r)
    end)

    it("leaves nothing when it is killed, or its time is up", function()
      local case, o = kind.make()
      local t = selecting {case, case}
      t:kill()
      t:join()
      assert.same({nil, "timeout"}, {green.select({case, case}, 0.001)})
      t = selecting {case}
      kind.ready(case, o)
      local r = packed(t:wait())
      assert.equal(1, r[1])
      check(r)
    end)
  end)
end

describe("select of locks and semaphores", function()
  it("owns the lock that it returns a guard for, and no other", function()
    local a, b = green.lock(), green.lock()
    local i, guard = green.select {a, b}
    assert.equal(1, i)
    assert.equal(green.current(), a:owner())
    assert.is_nil(b:owner())
    local t = selecting {a}
    do local _ <close> = guard end
    assert.equal(t, a:owner())
    green.on_error(function() end)
    t:join()
    assert.matches("abandoned", select(2, pcall(green.select, {a}, 1)))
    assert.equal(1, (green.select {a}))
    a:release()
  end)

  it("does not wait for its own lock, and says so", function()
    local l = green.lock()
    l:acquire()
    local ok, err = pcall(green.select, {green.event(), l})
    assert.is_false(ok)
    assert.matches("already owned by this green thread", err)
    l:release()
  end)

  fifo_it("takes its turn among those that wait for the semaphore", function()
    local s, order = green.semaphore(0), {}
    local function note(i, f, ...)
      return blocked(green.spawn(function(...)
        f(...)
        order[#order + 1] = i
      end, ...))
    end
    local ts = {note(1, s.acquire, s), note(2, green.select, {s}),
      note(3, s.acquire, s), note(4, green.select, {green.queue(), s})}
    for i = 1, 4 do
      s:release()
      ts[i]:join()
    end
    assert.same({1, 2, 3, 4}, order)
    assert.equal(0, s:count())
  end)

  it("gives a permit back when foreign code closes who was handed it",
    function()
      green.config {keep_stacks = 0}
      for _, o in ipairs {green.semaphore(0), green.lock()} do
        local is_lock = green.type(o) == "lock"
        if is_lock then o:acquire() end
        local co
        blocked(green.spawn(function()
          co = coroutine.running()
          green.select {green.event(), o}
        end))
        local q = fill(green.queue(1), 0)
        local second = selecting {{q, "put", 1}, o}
        o:release()
        assert.is_true(coroutine.close(co))
        green.on_error(function() end)
        assert.equal(2, (second:wait()))
        assert.same({0, 0}, {q:waiting()})
      end
    end)
end)

describe("select", function()
  it("takes the first of those that are ready", function()
    for _ = 1, 20 do
      local n = math.random(2, 20)
      local cases, first = {}, nil
      for i = 1, n do
        cases[i] = green.queue()
        if math.random() < 0.3 then
          cases[i]:put(i)
          first = first or i
        end
      end
      if first then
        assert.same({first, first}, {green.select(cases)})
      else
        assert.same({nil, "timeout"}, {green.select(cases, 0)})
      end
    end
  end)

  it("takes exactly one, and leaves the others as they were", function()
    local a, b = fill(green.queue(), 1, 2), fill(green.queue(), 3)
    local s = green.semaphore(1)
    assert.same({1, 1}, {green.select {a, b, s}})
    assert.equal(1, #a)
    assert.equal(1, #b)
    assert.equal(1, s:count())
  end)

  it("commits one when all get ready in the same turn", function()
    local qs, s = {}, green.semaphore(0)
    for i = 1, 10 do qs[i] = green.queue() end
    local t = selecting {s, table.unpack(qs)}
    for i = 10, 1, -1 do qs[i]:put(i) end
    s:release()
    local i, v = t:wait()
    assert.same({11, 10}, {i, v}) -- what woke it
    assert.equal(1, s:count())
    for k = 1, 9 do assert.equal(1, #qs[k]) end
    assert.equal(0, #qs[10])
  end)

  it("returns its result before an interruption of the same turn", function()
    local q = green.queue()
    local value, err
    local t = blocked(green.spawn(function()
      value = select(2, green.select {green.event(), q})
      err = select(2, pcall(green.sleep, 0))
    end))
    q:put("v")
    t:kill()
    t:join()
    assert.equal("v", value)
    assert.equal("killed", green.type(err))
  end)

  it("never takes anything after an interruption", function()
    local q, s = green.queue(), green.semaphore(0)
    local t = selecting {q, s}
    t:kill()
    q:put(1)
    s:release()
    t:join()
    assert.equal(1, #q)
    assert.equal(1, s:count())
    t = green.spawn(function()
      green.current():kill()
      return pcall(green.select, {q})
    end)
    assert.is_false(t:wait())
    assert.equal(1, #q)
  end)

  it("with a limit of 0 never switches and never raises an interruption",
    function()
      local ran = false
      green.spawn_n(function() ran = true end)
      local q = green.queue()
      local t = green.current()
      for _ = 1, 200 do
        assert.same({nil, "timeout"}, {green.select({q}, 0)})
        assert.same({nil, "timeout"}, {green.select({q}, -1)})
      end
      t:throw "x"
      assert.same({nil, "timeout"}, {green.select({q}, 0)})
      assert.is_false(ran)
      assert.is_false((pcall(green.sleep, 0)))
    end)

  it("goes round now and then when it never has to wait", function()
    local ran, q = false, green.queue()
    green.spawn_n(function() ran = true end)
    for _ = 1, 5000 do
      q:put(1, 0)
      green.select {q}
    end
    assert.is_true(ran)
  end)

  it("ends at its limit, on time", function()
    local began = green.now()
    assert.same({nil, "timeout"}, {green.select({green.event()}, 2.5)})
    assert(math.abs(green.now() - began - 2.5) < 1e-6)
    assert.is_false(pcall(green.select, {}, 0 / 0))
    assert.is_false(pcall(green.select, {}, "x"))
  end)

  it("of nothing is a mistake, and so is a list with holes", function()
    local function message(list, s)
      local ok, err = pcall(green.select, list, s)
      assert.is_false(ok)
      return err
    end
    assert.matches("a list with cases expected", message {})
    assert.matches("a list with cases expected", message({}, 0))
    assert.matches("a list with cases expected", message {n = 2})
    local q, r = green.queue(), green.queue()
    assert.matches("case 1: cannot wait for a nil", message {nil, q})
    assert.matches("case 2: cannot wait for a nil", message({q, nil, r}, 0))
    assert.matches("case 2: cannot wait for a nil", message {[3] = q, [1] = r})
    assert.matches("case 2: cannot wait for a nil", message {[1] = q, [3] = r})
    assert.matches("case 1: cannot wait for a nil", message {[2] = q})
    local cases = {}
    for i = 1, 100 do cases[i] = q end
    cases[102] = q
    assert.matches("case 101: cannot wait for a nil", message(cases))
    cases[102] = nil
    assert.same({nil, "timeout"}, {green.select(cases, 0)})
    assert.same({nil, "timeout"}, {green.select({q, n = 1, [0] = 7}, 0)})
    assert.matches("case 1: cannot", select(2, pcall(green.selector, {nil, q})))
  end)

  it("of 1,000 cases finds each of them", function()
    local cases = {}
    for i = 1, 1000 do cases[i] = green.queue() end
    for _, i in ipairs {1, 2, 500, 999, 1000} do
      local t = selecting(cases)
      cases[i]:put("x")
      assert.same({i, "x"}, {t:wait()})
      cases[i]:put("y")
      assert.same({i, "y"}, {green.select(cases)})
    end
    for i = 1, 1000 do assert(cases[i]:waiting() == 0) end
    local few = {}
    for i = 1, 300 do few[i] = {cases[i], "put", i} end
    local ok, err = pcall(green.select, setmetatable({cases[1]},
      {__len = error}), 0)
    assert.is_true(ok, err)
    assert.same({1, true}, {green.select(few)})
  end)

  it("is not misled by a list that another thread changes while it waits",
    function()
      local a, b, c = green.queue(), green.queue(), green.queue()
      local cases = {a, b}
      local t = selecting(cases)
      cases[1], cases[2], cases[3] = c, nil, c
      collectgarbage()
      c:put("c")
      green.sleep(0)
      assert.equal("blocked", t:status())
      b:put("b")
      assert.same({2, "b"}, {t:wait()})
      assert.equal(1, #c)
    end)

  it("of a pair that is changed while it waits puts what it said first",
    function()
      local q = fill(green.queue(1), 0)
      local pair = {q, "put", "first"}
      local t = selecting {pair}
      pair[1], pair[2], pair[3] = nil, "get", "second"
      q:get()
      assert.same({1, true}, {t:wait()})
      assert.equal("first", q:get())
    end)

  it("of put into and get from one channel never serves itself", function()
    local c = green.channel()
    assert.same({nil, "timeout"}, {green.select({c, {c, "put", 1}}, 0)})
    local t = selecting {c, {c, "put", "of t"}}
    assert.same({1, 1}, {c:waiting()})
    local u = green.spawn(green.select, {c, {c, "put", "of u"}})
    local ti, tv = t:wait()
    local ui, uv = u:wait()
    assert.equal(3, ti + ui) -- one got what the other put
    assert.equal(ti == 1 and "of u" or true, tv)
    assert.equal(ui == 1 and "of t" or true, uv)
    assert.same({0, 0}, {c:waiting()})
  end)

  it("puts into the first of several queues that has room", function()
    local a, b = fill(green.queue(1), 0), fill(green.queue(1), 0)
    local t = selecting {{a, "put", "x"}, {b, "put", "y"}}
    b:get()
    assert.same({2, true}, {t:wait()})
    assert.equal("y", b:get(0))
    a:get()
    assert.same({nil, "timeout"}, {a:get(0)})
    assert.same({2, true}, {green.select {{fill(a, 0), "put", 1},
      {b, "put", false}}})
    assert.is_false(b:get(0))
  end)

  it("raises what less raises, for the put in it, and takes nothing",
    function()
      local bad = green.priority_queue(nil, function() error "no order" end)
      local q = fill(green.queue(), 1)
      bad:put(1)
      local ok, err = pcall(green.select, {green.event(), {bad, "put", 2}, q})
      assert.is_false(ok)
      assert.matches("no order", err)
      assert.equal(1, #bad)
      assert.equal(1, #q)
    end)

  it("finds a case ready that a finalizer made ready meanwhile", function()
    local q = green.queue()
    local cases, limit, began = {q, green.event()}, 1, green.now()
    local _ <close> = setmetatable({}, {__close = function()
      collectgarbage "restart"
      collectgarbage "incremental"
    end})
    collectgarbage "generational"
    for i = 1, 10 do
      collectgarbage "stop"
      setmetatable({}, {__gc = function() q:put(i, 0) end})
      collectgarbage "restart" -- at what select makes first, all of it runs
      local which, v = green.select(cases, limit)
      assert.same({1, i}, {which, v})
    end
    assert(green.now() - began < 1, "it waited although there was a value")
  end)

  it("that may not block says so, and leaves nothing behind", function()
    local q = fill(green.queue(1), 0)
    local weak = setmetatable({{}}, {__mode = "v"})
    local err
    setmetatable({}, {__gc = function()
      err = select(2, pcall(green.select, {{q, "put", weak[1] or {}}}))
    end})
    local kept = weak[1] -- luacheck: ignore
    collectgarbage()
    assert.matches("'select' cannot block in a finalizer", err)
    assert.same({0, 0}, {q:waiting()})
    kept = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("keeps its cases while it waits, and no longer", function()
    local weak = setmetatable({}, {__mode = "k"})
    local quit = green.event()
    local function cases()
      local list = {quit}
      for i = 2, 5 do
        list[i] = green.queue()
        weak[list[i]] = true
      end
      return list
    end
    local t = green.spawn(function()
      local i = green.select(cases())
      collectgarbage()
      collectgarbage()
      local n = 0
      for _ in pairs(weak) do n = n + 1 end
      return i, n
    end)
    blocked(t)
    collectgarbage()
    local n = 0
    for _ in pairs(weak) do n = n + 1 end
    assert.equal(4, n)
    quit:send()
    assert.same({1, 0}, {t:wait()})
  end)

  it("names function, argument and case where it is misused", function()
    local q = green.queue()
    local function message(...)
      local args = packed(...)
      local ok, err = pcall(function()
        return green.select(table.unpack(args, 1, args.n)), 1
      end)
      assert.is_false(ok)
      return err
    end
    assert.matches("bad argument #1 to 'select' %(table expected, got nil",
      message(nil))
    assert.matches("bad argument #1 to 'select' %(case 2: cannot wait for a "
      .. "number", message {q, 5})
    assert.matches("case 1: cannot wait for a nil", message {nil, q})
    assert.matches("case 1: cannot wait for a string", message {"q"})
    assert.matches("case 1: cannot put into a green.event",
      message {{green.event(), "put", 1}})
    assert.matches("case 3: value to put expected, got nil",
      message {q, q, {q, "put"}})
    assert.matches("case 1: an object, or {queue, \"put\", value} expected",
      message {{q, "push", 1}})
    assert.matches("case 1: an object, or", message {{q}})
    assert.matches("case 1: an object, or", message {{}})
    assert.matches("case 1: cannot wait for a FILE", message {io.stdout})
    assert.matches("#2 to 'select'", message({q}, {}))
    assert.equal(0, q:waiting())
    local me = green.current()
    assert.matches("itself", message {me})
  end)

  it("asks a user's object that leads in a ring no further", function()
    local ring = user_class()
    ring.thing = ring
    local ok, err = pcall(function() return green.select {ring}, 1 end)
    assert.is_false(ok)
    assert.matches("case 1: __waitable leads nowhere", err)
  end)

  it("passes the error of a __waitable on, and waits in one that blocks",
    function()
      local q = green.queue()
      local bad = setmetatable({}, {__waitable = function() error "mine" end})
      local ok, err = pcall(green.select, {q, bad})
      assert.is_false(ok)
      assert.matches("mine", err)
      local slow = setmetatable({}, {__waitable = function()
        green.sleep(1)
        q:put "meanwhile"
        return green.event()
      end})
      local began = green.now()
      assert.same({1, "meanwhile"}, {green.select {q, slow}})
      assert(green.now() - began >= 1)
      local t = blocked(green.spawn(green.select, {slow}))
      t:kill()
      assert.equal("killed", green.type(select(2, t:join())))
      local none = setmetatable({}, {__waitable = function() end})
      assert.is_false(pcall(green.select, {none}))
      assert.same({0, 0}, {q:waiting()})
    end)

  it("looks at what a pair holds, not at its metatable", function()
    local q = green.queue()
    local proxy = setmetatable({}, {__index = function(_, i)
      green.sleep(1)
      return ({q, "put", 1})[i]
    end})
    assert.is_false(pcall(green.select, {proxy}, 0))
  end)

  it("keeps no case linked when one of a crowd is served", function()
    local qs = {}
    for i = 1, 5 do qs[i] = green.queue() end
    local ts = {}
    for i = 1, 10 do ts[i] = selecting(qs) end
    for i = 1, 5 do assert.equal(10, (qs[i]:waiting())) end
    for i = 1, 10 do qs[i % 5 + 1]:put(i) end
    local seen = {}
    for i = 1, 10 do
      local _, v = ts[i]:wait()
      assert(not seen[v])
      seen[v] = true
    end
    for i = 1, 5 do assert.same({0, 0}, {qs[i]:waiting()}) end
  end)

  it("shows in waiting() since when, until when and where", function()
    local t = selecting({green.event()}, 60)
    local w = t:blocked()
    assert.equal("select", w.what)
    assert(math.abs(w.deadline - green.now() - 60) < 1)
    t:kill()
  end)

  it("waits for a pool as for its wait", function()
    local p = green.pool(2)
    p:spawn_n(green.sleep, 5)
    local began = green.now()
    local i = green.select {green.event(), p}
    assert.equal(2, i)
    assert(green.now() - began >= 5)
  end)
end)

describe("a ticker", function()
  it("keeps its phase over hours", function()
    for _, period in ipairs {0.1, 1 / 3, 7, 0.001} do
      local k = green.ticker(period)
      local began = green.now()
      local total = 3 * 3600 // period
      local n, slept = 0, false
      for tick in k do
        local late = green.now() - began - tick * period
        assert(late >= -2e-9 and late < (slept and period or 1e-6), late)
        assert(tick == n + 1 or tick > n and slept)
        n, slept = tick, tick > 50 and not slept
        if tick > total then break end
        if slept then green.sleep(total // 20 * period + period / 2) end
      end
    end
  end)

  it("skips the ticks that were missed and counts them", function()
    local k = green.ticker(1)
    assert.equal(1, k:wait())
    green.sleep(3.5)
    assert.equal(4, k:wait()) -- it is over, and was not taken
    assert.equal(5, k:wait())
    green.sleep(0.2)
    assert.same({nil, "timeout"}, {k:wait(0)})
    assert.same({nil, "timeout"}, {k:wait(0.5)})
    assert.equal(6, k:wait(0.5))
  end)

  it("gives each tick to one of those that wait, and all go on waiting",
    function()
      local k, got, ts = green.ticker(1), {}, {}
      for i = 1, 3 do
        ts[i] = green.spawn(function()
          for _ = 1, 4 do
            local n = i == 3 and select(2, green.select {k}) or k:wait()
            assert(n)
            assert(not got[n], "twice")
            got[n] = true
          end
        end)
      end
      for i = 1, 3 do ts[i]:wait() end
      for n = 1, 12 do assert.is_true(got[n]) end
    end)

  it("that is cancelled ends the loops of all that wait", function()
    local k, n = green.ticker(1), 0
    local function loop() for _ in k do n = n + 1 end end
    local a, b = green.spawn(loop), green.spawn(loop)
    green.sleep(5.5)
    k:close()
    k:close()
    a:wait()
    b:wait()
    assert.equal(5, n)
    assert.same({nil, "closed"}, {k:wait()})
    assert.same({nil, "closed"}, {k:wait(0)})
    assert.same({1, nil, "closed"}, {green.select {k}})
  end)

  it("in select beside other things keeps ticking in its phase", function()
    local k, q = green.ticker(1), green.queue()
    local began, ticks, values = green.now(), {}, 0
    green.spawn_n(function()
      for i = 1, 20 do
        green.sleep(0.3)
        q:put(i)
      end
      q:close()
    end)
    while true do
      local i, v = green.select {k, q}
      if i == 1 then
        ticks[#ticks + 1] = v
        assert(math.abs(green.now() - began - v) < 1e-6)
      elseif v then
        values = values + 1
      else
        break
      end
    end
    assert.equal(20, values)
    for i, n in ipairs(ticks) do assert.equal(i, n) end
    assert(#ticks == 5 or #ticks == 6)
  end)

  it("of two in one select: each fires when it is due", function()
    local a, b = green.ticker(2), green.ticker(3)
    local began, log = green.now(), {}
    for i = 1, 6 do
      local which, n = green.select {a, b}
      log[i] = ("%d:%d@%.0f"):format(which, n, green.now() - began)
    end
    assert.equal("1:1@2 2:1@3 1:2@4 1:3@6 2:2@6 1:4@8",
      table.concat(log, " "))
  end)

  it("refuses a period that is none", function()
    for _, s in ipairs {0, -1, 0 / 0, math.huge, "x"} do
      assert.is_false(pcall(green.ticker, s))
    end
  end)
end)

describe("select of sockets", function()
  it("accepts, and only then takes the connection", function()
    local l <close>, connect = network()
    local q = green.queue()
    local t = selecting {q, l}
    local c <close> = connect()
    local i, s = t:wait()
    assert.equal(2, i)
    assert.equal("tcp{client}", green.type(s))
    assert(c:send "hello\n")
    assert.equal("hello", s:receive())
    s:close()
    local d <close> = connect()
    q:put(1)
    green.sleep(0.01)
    assert.equal(1, (green.select {q, l}))
    local e <close> = assert(l:accept()) -- it was left in place
    assert.truthy(e and d)
  end)

  it("tells that a connection is readable, and takes no byte", function()
    local l <close>, _, both = network()
    local c, s = both()
    local e = green.event()
    assert.same({nil, "timeout"}, {green.select({s, e}, 0)})
    local t = selecting {e, s}
    c:send "ab\ncd"
    assert.same({2, true}, {t:wait()})
    assert.equal("ab", s:receive())
    assert.same({1, true}, {green.select {s}}) -- the rest in the buffer
    assert.equal("cd", s:receive(2))
    c:close()
    assert.same({2, true}, {green.select {e, s}}) -- the end can be read
    assert.same({nil, "closed", ""}, {s:receive()})
    assert.truthy(l)
  end)

  it("gives up a socket for something else, whose reader is free again",
    function()
      local l <close>, _, both = network()
      local c, s = both()
      local q = green.queue()
      local t = selecting {s, q}
      q:put(1)
      assert.equal(2, (t:wait()))
      t = blocked(green.spawn(s.receive, s, 2))
      c:send "xy"
      assert.equal("xy", t:wait())
      assert.same({nil, "timeout"}, {green.select({s, l}, 0.01)})
    end)

  it("returns closed for one that is closed meanwhile, or was before",
    function()
      local l, _, both = network()
      local c <close>, s = both()
      local t, u = selecting {s}, selecting {green.queue(), l}
      s:close()
      l:close()
      assert.same({1, nil, "closed"}, {t:wait()})
      assert.same({2, nil, "closed"}, {u:wait()})
      assert.same({1, nil, "closed"}, {green.select {s}})
      assert.same({1, nil, "closed"}, {green.select({l}, 0)})
      assert.truthy(c)
    end)

  it("listed twice goes on as the first of them", function()
    local l <close>, connect, both = network()
    local c, s = both()
    local t = selecting {s, s, l, l}
    c:send "x"
    assert.same({1, true}, {t:wait()})
    s:receive(1)
    t = selecting {s, l, l, s}
    local d <close> = connect()
    local i, e = t:wait()
    assert.equal(2, i)
    e:close()
    assert.same({nil, "timeout"}, {green.select({s, l, s, l}, 0.01)})
    assert.truthy(d)
  end)

  it("names both threads when a second one wants to read", function()
    local l <close>, _, both = network()
    local c, s = both()
    local q = fill(green.queue(1), 0)
    local t = blocked(green.spawn(s.receive, s))
    t.name = "first"
    local function check(f, ...)
      local ok, err = pcall(f, ...)
      assert.is_false(ok)
      assert.matches("already being read by green thread #" .. t.id .. " first",
        err)
      assert.matches("asked by #" .. green.current().id, err)
    end
    check(green.select, {{q, "put", 1}, green.event(), s})
    assert.same({0, 0}, {q:waiting()})
    t:kill()
    t:join()
    t = selecting {s}
    t.name = "first"
    check(green.select, {s})
    check(s.receive, s)
    t:kill()
    t:join()
    assert.truthy(l and c)
  end)
end)

describe("many threads in select", function()
  --- One world: queues of every kind, semaphores and locks. Values that go in
  --- have numbers; values that come out are ticked off.
  local function world()
    local w = {queues = {}, semaphores = {}, locks = {}, put = {}, got = {},
      doubt = {}, next = 0, threads = {}, cos = {}, inside = {}, held = {}}
    local makers = {green.queue, green.lifo_queue, green.priority_queue}
    for i = 1, 4 do
      w.queues[i] = makers[math.random(3)](math.random(0, 2))
    end
    for i = 1, 2 do
      w.semaphores[i] = green.semaphore(2, 2)
      w.locks[i] = green.lock()
      w.held[w.semaphores[i]] = 0
    end
    return w
  end

  local function taken(w, v)
    assert(not w.got[v], "a value twice")
    w.got[v] = true
  end

  --- Permits are given back by the guard; while it is held nobody else may be
  --- there.
  local function stay_in(w, thing, guard, most)
    local _ <close> = guard
    w.inside[thing] = (w.inside[thing] or 0) + 1
    local _ <close> = setmetatable({}, {__close = function()
      w.inside[thing] = w.inside[thing] - 1
    end})
    assert(w.inside[thing] <= most, "too many inside")
    if math.random() < 0.5 then green.sleep(math.random() / 100) end
  end

  local function random_case(w)
    local r = math.random(10)
    local q = w.queues[math.random(#w.queues)]
    if r <= 4 then
      return q, function(v) if v ~= nil then taken(w, v) end end
    elseif r <= 8 then
      w.next = w.next + 1
      local n = w.next
      return {q, "put", n}, function(ok) if ok then w.put[n] = true end end, n
    elseif r == 9 then
      local s = w.semaphores[math.random(2)]
      return s, function(guard) stay_in(w, s, guard, 2) end
    end
    local l = w.locks[math.random(2)]
    return l, function(guard) stay_in(w, l, guard, 1) end
  end

  local function one_turn(w)
    local cases, after, numbers = {}, {}, {}
    for i = 1, math.random(4) do
      cases[i], after[i], numbers[i] = random_case(w)
      if numbers[i] then w.doubt[numbers[i]] = true end
    end
    local s = math.random() < 0.3 and math.random() / 100 or nil
    local ok, i, v = pcall(green.select, cases, s)
    for _, n in pairs(numbers) do w.doubt[n] = nil end
    if not ok then
      if type(i) == "string" and i:find "abandoned" then return end
      error(i, 0)
    end
    if i then after[i](v) end
  end

  --- A closed coroutine cannot report: its put may have been made, and its
  --- value may be gone.
  local function strike(w)
    local t = w.threads[math.random(#w.threads)]
    local r = math.random(10)
    if r <= 2 then
      t:kill()
    elseif r == 3 then
      t:throw "thrown"
    elseif r == 4 then
      local co = w.cos[math.random(#w.cos)]
      if co then pcall(coroutine.close, co) end
    elseif r == 5 and math.random() < 0.1 then
      w.queues[math.random(#w.queues)]:close()
    elseif r == 6 then
      w.queues[math.random(#w.queues)]:resize(math.random(0, 3))
    end
  end

  it("under kills, throws, limits, timeouts, closes and foreign closes: "
    .. "nothing lost, nothing doubled", function()
      green.on_error(function(err)
        if err ~= "thrown" and green.type(err) ~= "timeout" then
          io.stderr:write(tostring(err), "\n")
          os.exit(1)
        end
      end)
      green.config {keep_stacks = math.random(0, 1) * 256}
      local w = world()
      for i = 1, 30 do
        w.threads[i] = green.spawn(function()
          w.cos[#w.cos + 1] = coroutine.running()
          for _ = 1, 10 do
            local _ <close> = green.timeout(math.random() < 0.05
              and math.random() / 50 or nil)
            one_turn(w)
          end
        end)
      end
      for _ = 1, 60 do
        green.sleep(math.random() / 300)
        strike(w)
      end
      green.sleep(1)
      for _, t in ipairs(w.threads) do t:kill() end
      for _, t in ipairs(w.threads) do t:join() end
      for _, q in ipairs(w.queues) do
        assert.same({0, 0}, {q:waiting()})
        q:close()
        for v in q:items() do taken(w, v) end
      end
      for n = 1, w.next do
        if w.got[n] then
          assert(w.put[n] or w.doubt[n], "it was never put: " .. n)
        elseif w.put[n] then
          error("lost: " .. n)
        end
      end
      for i = 1, 2 do
        assert.equal(2, w.semaphores[i]:count())
        assert.is_nil(w.locks[i]:owner())
      end
    end)

  it("pass tokens round and round, and none gets lost", function()
    local n = 6
    local qs = {}
    for i = 1, n do qs[i] = green.queue(math.random(0, 2)) end
    local seen, ts, quit = 0, {}, green.event()
    for i = 1, n do
      ts[i] = green.spawn(function()
        local pocket = i % 2 == 0 and {i} or {}
        while true do
          local case = #pocket > 0 and {qs[i % n + 1], "put", pocket[1]}
            or green.event()
          local which, v = green.select {quit, case, #pocket < 3 and qs[i]
            or green.event()}
          if which == 1 then return #pocket end
          if which == 2 then
            table.remove(pocket, 1)
          else
            pocket[#pocket + 1] = v
            seen = seen + 1
          end
        end
      end)
    end
    while seen < 500 do green.sleep(0) end -- they never leave the clock a turn
    quit:send()
    local left = 0
    for i = 1, n do left = left + ts[i]:wait() end
    for i = 1, n do left = left + #qs[i] end
    assert.equal(n / 2, left)
  end)
end)
