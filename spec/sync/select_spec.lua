-- Waiting for many things, of which exactly one goes on.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"
local it = test.it(it)

local blocked = test.blocked
local selecting, filled = help.selecting, help.filled

local function packed(...) return table.pack(...) end

local function user_class(thing)
  return setmetatable({thing = thing}, {
    __waitable = function(self) return self.thing end,
  })
end

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
    local a, b = filled(green.queue(), 1, 2), filled(green.queue(), 3)
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
      local q = filled(green.queue(1), 0)
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
    local a, b = filled(green.queue(1), 0), filled(green.queue(1), 0)
    local t = selecting {{a, "put", "x"}, {b, "put", "y"}}
    b:get()
    assert.same({2, true}, {t:wait()})
    assert.equal("y", b:get(0))
    a:get()
    assert.same({nil, "timeout"}, {a:get(0)})
    assert.same({2, true}, {green.select {{filled(a, 0), "put", 1},
      {b, "put", false}}})
    assert.is_false(b:get(0))
  end)

  it("raises what less raises, for the put in it, and takes nothing",
    function()
      local bad = green.priority_queue(nil, function() error "no order" end)
      local q = filled(green.queue(), 1)
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
    local q = filled(green.queue(1), 0)
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
