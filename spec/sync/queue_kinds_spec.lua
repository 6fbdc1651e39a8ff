-- Queues of every order: lifo and priority ones, and the behaviour that all
-- share.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local test = require "green.test"
local fifo_it = test.it(it, {order = "fifo"})
local help = require "spec.help"
local it = test.it(it)

local blocked = test.blocked

local function by_rank(a, b) return a.rank < b.rank end

--- Every kind with the order in which it gives 1 .. 5 out again.
local kinds = {
  {name = "a queue", make = green.queue, order = {3, 1, 5, 2, 4}},
  {name = "a lifo queue", make = green.lifo_queue, order = {4, 2, 5, 1, 3}},
  {name = "a priority queue", make = green.priority_queue,
    order = {1, 2, 3, 4, 5}},
  {name = "a priority queue with its own less",
    make = function(n)
      return green.priority_queue(n, function(a, b) return a > b end)
    end, order = {5, 4, 3, 2, 1}},
}

local function fill(q, ...)
  for _, v in ipairs {...} do assert(q:put(v)) end
  return q
end

local function drain(q)
  local got = {}
  while #q > 0 do got[#got + 1] = q:get() end
  return got
end

--- Starts a put of each value, each after the former one waits.
local function putters(q, ...)
  local ts = {}
  for i, v in ipairs {...} do ts[i] = blocked(green.spawn(q.put, q, v)) end
  return ts
end

local function getters(q, n)
  local ts = {}
  for i = 1, n do ts[i] = blocked(green.spawn(q.get, q)) end
  return ts
end

for _, kind in ipairs(kinds) do
  describe(kind.name, function()
    it("gives its values out in its order", function()
      local q = fill(kind.make(), 3, 1, 5, 2, 4)
      assert.equal(5, #q)
      assert.same(kind.order, drain(q))
      assert.same({nil, "timeout"}, {q:get(0)})
    end)

    it("shows by peek what get returns", function()
      local q = fill(kind.make(), 3, 1, 5, 2, 4)
      for i = 1, 5 do
        assert.equal(kind.order[i], q:peek())
        assert.equal(kind.order[i], q:get())
      end
      assert.is_nil(q:peek())
    end)

    it("is of the type queue and refuses nil and a bad limit", function()
      assert.equal("queue", green.type(kind.make()))
      local ok, err = pcall(function() kind.make():put(nil) end)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'put' %(value expected", err)
      assert.is_false(pcall(kind.make, -1))
      assert.is_false(pcall(kind.make, 0 / 0))
      assert.is_false(pcall(kind.make, "x"))
    end)

    fifo_it("with a limit makes puts wait, and admits them in their turn",
      function()
        local q = fill(kind.make(2), 3, 1)
        assert.same({nil, "timeout"}, {q:put(9, 0)})
        local ts = putters(q, 5, 2, 4)
        assert.same({0, 3}, {q:waiting()})
        local n = 0
        while n < 5 do
          assert.is_number(q:get(1))
          n = n + 1
          assert(#q <= 2)
        end
        for i = 1, 3 do assert.is_true(ts[i]:wait()) end
        assert.same({0, 0}, {q:waiting()})
      end)

    fifo_it("of limit 0 hands over only when both are there", function()
      local q = kind.make(0)
      assert.same({nil, "timeout"}, {q:put(1, 0)})
      assert.same({nil, "timeout"}, {q:get(0)})
      local ts = putters(q, 3, 1)
      assert.equal(0, #q)
      assert.equal(3, q:peek())
      assert.equal(3, q:get()) -- the first putter goes first
      assert.equal(1, q:get())
      assert.is_true(ts[1]:wait() and ts[2]:wait())
      local g = getters(q, 2)
      assert.is_true(q:put(8, 0))
      assert.is_true(q:put(9, 0))
      assert.same({nil, "timeout"}, {q:put(10, 0)})
      local got = {g[1]:wait(), g[2]:wait()}
      table.sort(got)
      assert.same({8, 9}, got)
    end)

    it("counts tasks done, and clear counts what it drops", function()
      local q = fill(kind.make(), 1, 2, 3)
      assert.same({nil, "timeout"}, {q:join(0)})
      q:get()
      q:task_done()
      assert.equal(2, q:clear())
      assert.is_true(q:join(0))
      assert.is_false(pcall(q.task_done, q))
      assert.equal(0, q:clear())
    end)

    it("is joined once each is done, never before, however odd the order of "
      .. "the calls", function()
        local q = fill(kind.make(), 1, 2, 3)
        for _ = 1, 3 do q:task_done() end -- before anybody got them
        q:clear()
        assert.is_true(q:join(0))
        q:put(4)
        assert.same({nil, "timeout"}, {q:join(0)})
        local t = blocked(green.spawn(q.join, q))
        q:get()
        q:task_done()
        assert.is_true(t:wait())
      end)

    it("clears, admits who waits, and leaves what was promised", function()
      local q = kind.make(2)
      local g = getters(q, 1)[1]
      fill(q, 1, 2, 3)
      local t = putters(q, 4)[1]
      if g:status() == "ready" then
        assert.equal(2, q:clear())
        assert.is_true(t:wait())
        assert.is_number(g:wait())
        assert.equal(1, #q)
      else -- the getter had its turn while the put began to wait
        assert.equal(2, q:clear())
        assert.is_true(t:wait())
        assert.equal(4, q:get())
      end
    end)

    it("resizes: more room admits, less drops nothing", function()
      local q = fill(kind.make(1), 3)
      local ts = putters(q, 1, 5, 2)
      q:resize(3)
      assert.equal(3, #q)
      q:resize()
      assert.equal(4, #q)
      for i = 1, 3 do assert.is_true(ts[i]:wait()) end
      q:resize(1)
      assert.equal(4, #q)
      assert.same({nil, "timeout"}, {q:put(4, 0)})
      q:resize(math.huge)
      assert.is_true(q:put(4, 0))
      assert.same(kind.order, drain(q))
    end)

    it("closes: putters are told and keep theirs, getters drain", function()
      local q = fill(kind.make(2), 3, 1)
      local ts = putters(q, 5, 2)
      q:close()
      q:close()
      for i = 1, 2 do assert.same({nil, "closed"}, {ts[i]:wait()}) end
      assert.same({nil, "closed"}, {q:put(9)})
      local got = {}
      for v in q:items() do got[#got + 1] = v end
      table.sort(got)
      assert.same({1, 3}, got)
      assert.same({nil, "closed"}, {q:get()})
      assert.same({nil, "closed"}, {q:get(0)})
    end)

    it("gives what a getter was promised to the next when foreign code "
      .. "closes it", function()
        green.config {keep_stacks = 0}
        local q, co = kind.make(), nil
        local first = blocked(green.spawn(function()
          co = coroutine.running()
          return q:get()
        end))
        local second = getters(q, 1)[1]
        q:put(7)
        assert.is_true(coroutine.close(co))
        assert.equal("killed", first:status())
        assert.equal(7, second:wait())
        assert.equal(0, #q)
        assert.same({0, 0}, {q:waiting()})
      end)

    it("gives what a getter was promised to it, also if it is killed then",
      function()
        local q, got = kind.make(), nil
        local t = blocked(green.spawn(function()
          got = q:get()
          green.sleep(0)
        end))
        q:put(7)
        t:kill()
        t:join()
        assert.equal(7, got)
        assert.equal(0, #q)
      end)
  end)
end

describe("a lifo queue", function()
  it("keeps its order between puts and gets", function()
    local q, model = green.lifo_queue(), {}
    for i = 1, 500 do
      if math.random(3) > 1 then
        q:put(i)
        model[#model + 1] = i
      elseif #model > 0 then
        assert.equal(table.remove(model), q:get())
      end
    end
    while #model > 0 do assert.equal(table.remove(model), q:get()) end
  end)

  it("takes false and any other value", function()
    local q, t = green.lifo_queue(), {}
    fill(q, false, "x", t, print)
    assert.same({print, t, "x", false}, {q:get(), q:get(), q:get(), q:get()})
  end)
end)

describe("a priority queue", function()
  local function sorted(list, less)
    local copy = {}
    for i, v in ipairs(list) do copy[i] = {v, i} end
    table.sort(copy, function(a, b)
      if less(a[1], b[1]) then return true end
      if less(b[1], a[1]) then return false end
      return a[2] < b[2]
    end)
    for i, p in ipairs(copy) do copy[i] = p[1] end
    return copy
  end

  local function lt(a, b) return a < b end

  it("keeps equal ones in the order in which they came", function()
    for _, n in ipairs {2, 3, 10, 100, 500} do
      local list = {}
      local q = green.priority_queue(nil, by_rank)
      for i = 1, n do
        list[i] = {rank = math.random(5), i = i}
        q:put(list[i])
      end
      for i, item in ipairs(sorted(list, by_rank)) do
        assert(item == q:get(), "place " .. i)
      end
    end
  end)

  it("keeps equal numbers of both kinds in the order in which they came",
    function()
      local q = fill(green.priority_queue(), 1.0, 1, 0, 1.0, 0.0)
      local got = {}
      for i = 1, 5 do
        local v = q:get()
        got[i] = v .. " " .. math.type(v)
      end
      assert.same({"0 integer", "0.0 float", "1.0 float", "1 integer",
                   "1.0 float"}, got)
    end)

  it("compares integers beyond 2^53 exactly, also with floats", function()
    local big = 1 << 53
    local list = {big + 1, big, 2.0 ^ 53, big + 2, big - 1, 2.0 ^ 53 + 2,
                  math.maxinteger, math.maxinteger - 1, 2.0 ^ 63,
                  math.mininteger, -2.0 ^ 63, math.huge, -math.huge,
                  math.mininteger + 1, 0, -big - 1, -big}
    local q = fill(green.priority_queue(), table.unpack(list))
    local got = drain(q)
    for i, v in ipairs(sorted(list, lt)) do
      assert(rawequal(v, got[i]) and math.type(v) == math.type(got[i]),
        ("place %d: %s, not %s"):format(i, got[i], v))
    end
  end)

  it("refuses NaN, which has no place in the order, and takes it with a less",
    function()
      local q = green.priority_queue()
      local ok, err = pcall(function() q:put(0 / 0) end)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'put' %(NaN has no place", err)
      ok, err = pcall(green.select, {{q, "put", 0 / 0}})
      assert.is_false(ok)
      assert.matches("NaN has no place", err)
      assert.equal(0, #q)
      assert.is_true(q:join(0))
      local any = green.priority_queue(nil, function() return false end)
      fill(any, 0 / 0, 1)
      assert.is_true(any:get() ~= 0)
      assert.equal(1, any:get())
    end)

  it("compares strings, and tables with __lt", function()
    assert.same({"a", "b", "c"}, drain(fill(green.priority_queue(), "b", "c",
      "a")))
    local mt = {__lt = function(a, b) return a[1] < b[1] end}
    local q = green.priority_queue()
    for _, n in ipairs {3, 1, 2} do q:put(setmetatable({n}, mt)) end
    for i = 1, 3 do assert.equal(i, q:get()[1]) end
  end)

  it("with a less of its own sorts mixed types", function()
    local rank = {number = 1, string = 2, boolean = 3, table = 4}
    local function less(a, b)
      if type(a) ~= type(b) then return rank[type(a)] < rank[type(b)] end
      return (type(a) == "number" or type(a) == "string") and a < b
    end
    local t = {}
    local q = fill(green.priority_queue(nil, less), "b", t, 2, false, "a", 1,
      true)
    assert.same({1, 2, "a", "b", false, true, t}, drain(q))
  end)

  it("takes any callable for less, and refuses others by name", function()
    local less = setmetatable({}, {__call = function(_, a, b) return a > b end})
    assert.same({3, 2, 1}, drain(fill(green.priority_queue(9, less), 2, 3, 1)))
    local ok, err = pcall(function() green.priority_queue(1, "x") end)
    assert.is_false(ok)
    assert.matches("#2 to 'priority_queue'", err)
  end)

  it("that cannot compare two values refuses the second", function()
    local q = fill(green.priority_queue(), 1)
    local ok, err = pcall(q.put, q, "x")
    assert.is_false(ok)
    assert.matches("attempt to compare", err)
    assert.equal(1, #q)
    assert.same({1}, drain(q))
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("asks less some 12 times for a put and a get at 100 values", function()
    local asked = 0
    local q = green.priority_queue(nil, function(a, b)
      asked = asked + 1
      return a < b
    end)
    for _ = 1, 100 do q:put(math.random(1000)) end
    asked = 0
    for _ = 1, 1000 do
      q:put(math.random(1000))
      q:get()
    end
    assert(asked < 13000, asked / 1000 .. " a put and get")
  end)
end)

describe("a less that", function()
  --- A queue whose less runs a given function before it compares.
  local function watched(n)
    local o = {}
    o.q = green.priority_queue(n, function(a, b)
      local act = o.act
      if act then
        if o.once then o.act = nil end
        act()
      end
      return a < b
    end)
    return o
  end

  local function boom() error("boom", 0) end

  it("raises in put leaves the queue as it was", function()
    local o = watched()
    fill(o.q, 3, 1, 2)
    o.act = boom
    assert.same({false, "boom"}, {pcall(o.q.put, o.q, 0)})
    o.act = nil
    assert.equal(3, #o.q)
    assert.same({1, 2, 3}, drain(o.q))
    for _ = 1, 3 do o.q:task_done() end
    assert.is_true(o.q:join(0))
  end)

  it("raises in get leaves the queue as it was, wherever it does", function()
    for at = 1, 8 do
      local o = watched()
      local n = 0
      fill(o.q, 5, 3, 8, 1, 9, 2, 7, 4, 6)
      o.act = function()
        n = n + 1
        if n == at then boom() end
      end
      local ok, v = pcall(o.q.get, o.q)
      o.act = nil
      local rest = drain(o.q)
      if ok then table.insert(rest, 1, v) else assert.equal("boom", v) end
      assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9}, rest)
    end
  end)

  it("raises any value as it is", function()
    local o, err = watched(), {}
    fill(o.q, 1)
    o.act = function() error(err) end
    local _, e = pcall(o.q.put, o.q, 2)
    assert.equal(err, e)
    o.act = function() error(nil) end
    assert.same({false, help.raised_nil}, {pcall(o.q.put, o.q, 2)})
  end)

  it("raises in a get that was promised a value leaves it to the next",
    function()
      green.on_error(function() end)
      local o = watched()
      local a = blocked(green.spawn(o.q.get, o.q))
      local b = blocked(green.spawn(o.q.get, o.q))
      local c = blocked(green.spawn(o.q.get, o.q))
      o.q:put(1)
      o.q:put(2)
      o.q:put(3)
      o.act, o.once = boom, true
      local values, failed = {}, 0
      for _, t in ipairs {a, b, c} do
        local ok, v = t:join()
        if ok then values[#values + 1] = v else failed = failed + 1 end
      end
      o.act = nil
      for _, v in ipairs(drain(o.q)) do values[#values + 1] = v end
      table.sort(values)
      assert.same({1, 2, 3}, values)
      assert.equal(1, failed)
      assert.same({0, 0}, {o.q:waiting()})
    end)

  it("raises when a getter admits a put that waits: the putter gets the "
    .. "error, the getter its value", function()
      for _, form in ipairs {"put", "select"} do
        local o = watched(2)
        fill(o.q, 1, 2)
        local t = green.spawn(function()
          if form == "put" then return o.q:put(3) end
          return green.select {green.event(), {o.q, "put", 3}}
        end)
        blocked(t)
        o.act = boom
        assert.equal(1, o.q:get())
        o.act = nil
        assert.same({false, "boom"}, {t:join()})
        assert.same({2}, drain(o.q))
        assert.same({0, 0}, {o.q:waiting()})
        for _ = 1, 2 do o.q:task_done() end
        assert.is_true(o.q:join(0))
      end
    end)

  it("raises for one of several puts that are admitted strikes that one",
    function()
      green.on_error(function() end)
      for _, how in ipairs {"resize", "clear", "get"} do
        local n = how == "clear" and 3 or 1
        local q = green.priority_queue(n, function(a, b)
          if a == "bad" or b == "bad" then boom() end
          return a < b
        end)
        for _ = 1, n do q:put(0) end
        local ts = putters(q, 5, "bad", 4)
        if how == "resize" then
          q:resize(10)
        elseif how == "clear" then
          q:clear()
        else
          q:resize(2)
          assert.equal(0, q:get())
        end
        assert.is_true(ts[1]:wait())
        assert.same({false, "boom"}, {ts[2]:join()})
        assert.is_true(ts[3]:wait())
        local rest = drain(q)
        assert.equal(4, rest[#rest - 1])
        assert.equal(5, rest[#rest])
      end
    end)

  it("blocks is refused, by name", function()
    local o = watched()
    fill(o.q, 1)
    o.act = function() green.sleep(0) end
    local ok, err = pcall(o.q.put, o.q, 2)
    assert.is_false(ok)
    assert.matches("'sleep' cannot block in a priority queue's comparison", err)
    o.act = function() green.queue():get() end
    assert.is_false(pcall(o.q.put, o.q, 2))
    o.act = function() coroutine.yield() end
    assert.is_false(pcall(o.q.put, o.q, 2))
    o.act = nil
    assert.same({1}, drain(o.q))
    green.sleep(0) -- blocking is allowed again
  end)

  it("changes the queue makes the call fail and nothing else", function()
    local changes = {
      put = function(q) q:put(0, 0) end,
      get = function(q) q:get(0) end,
      clear = function(q) q:clear() end,
      close = function(q) q:close() end,
    }
    for name, change in pairs(changes) do
      for _, call in ipairs {"put", "get"} do
        local o = watched()
        fill(o.q, 4, 3, 2, 1)
        o.once = true
        o.act = function()
          o.act = nil
          change(o.q)
        end
        local ok, err = pcall(o.q[call], o.q, call == "put" and 9 or nil)
        assert(not ok, name .. " in " .. call)
        assert.matches("was changed while it compared", err)
        local rest = drain(o.q)
        for i = 2, #rest do assert(rest[i - 1] <= rest[i]) end
        assert.equal(({put = 5, get = 3, clear = 0, close = 4})[name], #rest)
      end
    end
  end)

  for _, form in ipairs {"put", "select"} do
    local function meddle(what)
      local o = watched(2)
      local e = green.event()
      fill(o.q, 1, 2)
      local other = green.queue()
      local t = green.spawn(function()
        if form == "put" then return o.q:put(3) end
        return green.select {{o.q, "put", 3}, e, other}
      end)
      blocked(t)
      o.once = true
      o.act = function() what(o, t, e, other) end
      local got = o.q:get(0)
      assert.equal(1, got)
      return o, t, e, other
    end

    it("kills the very put that it compares, by " .. form .. ", leaves its "
      .. "value out", function()
        local o, t = meddle(function(_, t) t:kill() end)
        local _, err = t:join()
        assert.equal("killed", green.type(err))
        assert.same({2}, drain(o.q))
        for _ = 1, 2 do o.q:task_done() end
        assert.is_true(o.q:join(0))
        assert.same({0, 0}, {o.q:waiting()})
      end)

    it("closes the queue of the very put that it compares, by " .. form
      .. ", leaves its value out", function()
        local o, t = meddle(function(o) o.q:close() end)
        local r = table.pack(t:wait())
        assert.same({nil, "closed"}, {table.unpack(r, r.n - 1, r.n)})
        assert.same({2}, drain(o.q))
      end)

    it("admits the very put that it compares, by " .. form .. ", does so "
      .. "once", function()
        local o, t = meddle(function(o) o.q:resize(5) end)
        t:wait()
        assert.same({2, 3}, drain(o.q))
      end)
  end

  it("makes another case of a select ready commits only one of them",
    function()
      local o = watched(2)
      local other = green.queue()
      fill(o.q, 1, 2)
      local t = blocked(green.spawn(green.select, {{o.q, "put", 3}, other}))
      o.once = true
      o.act = function() other:put("x", 0) end
      assert.equal(1, o.q:get(0))
      local i, v = t:wait()
      local rest = drain(o.q)
      if i == 2 then
        assert.equal("x", v)
        assert.same({2}, rest)
      else
        assert.equal(1, i)
        assert.same({2, 3}, rest)
        assert.equal("x", other:get(0))
      end
    end)

  it("puts into its own queue without end is stopped, not the process",
    function()
      local q
      q = green.priority_queue(nil, function(a, b)
        q:put(0, 0)
        return a < b
      end)
      q:put(1)
      assert.is_false(pcall(q.put, q, 2))
      assert.equal(1, #q)
    end)
end)

describe("values that nobody put in the end", function()
  --- Does the collector find it?
  local function gone(make)
    local weak = setmetatable({}, {__mode = "k"})
    make(function()
      local v = {}
      weak[v] = true
      return v
    end)
    collectgarbage()
    collectgarbage()
    return next(weak) == nil
  end

  local makers = {queue = green.queue, lifo = green.lifo_queue,
    priority = function(n)
      return green.priority_queue(n, function() return false end)
    end}
  for name, maker in pairs(makers) do
    it("are not kept by a " .. name .. " queue", function()
      green.on_error(function() end)
      local q = fill(maker(1), "full")
      local free = green.queue()
      assert.is_true(gone(function(new)
        q:put(new(), 0)
        q:put(new(), 0.01)
        green.with_timeout(0.01, q.put, q, new())
        local t = blocked(green.spawn(function() return q:put(new()) end))
        t:kill()
        t:join()
        green.select({{q, "put", new()}}, 0)
        green.select({{q, "put", new()}}, 0.01)
        t = blocked(green.spawn(function()
          return green.select {{q, "put", new()}, {q, "put", new()}, free}
        end))
        free:put(1)
        assert.equal(3, (t:wait()))
        t = blocked(green.spawn(function()
          return green.select {{q, "put", new()}}
        end))
        t:throw("x")
        t:join()
        free = nil -- luacheck: ignore
      end))
      assert.same({"full"}, drain(q))
    end)

    it("are not kept by a " .. name .. " queue that gave them out", function()
      local q = maker()
      assert.is_true(gone(function(new)
        for _ = 1, 20 do q:put(new()) end
        for _ = 1, 10 do q:get() end
        assert.equal(10, q:clear())
      end))
      assert.equal(0, #q)
    end)

    it("are not kept by a " .. name .. " queue when foreign code closed who "
      .. "put them", function()
        green.config {keep_stacks = 0}
        local q = fill(maker(1), "full")
        assert.is_true(gone(function(new)
          for _, form in ipairs {"put", "select"} do
            local co
            local t = green.spawn(function()
              co = coroutine.running()
              if form == "put" then return q:put(new()) end
              return green.select {{q, "put", new()}}
            end)
            blocked(t)
            assert(coroutine.close(co))
          end
          green.sleep(0)
          q:peek() -- any use of the queue will do
          q:put("too much", 0.001)
        end))
        assert.same({"full"}, drain(q))
      end)
  end
end)

describe("the kinds of queues agree with a plain list", function()
  local function earlier(kind)
    if kind == "fifo" then return function() return false end end
    if kind == "lifo" then return function(a, b) return a.seq > b.seq end end
    return by_rank
  end

  local makers = {fifo = green.queue, lifo = green.lifo_queue,
    priority = function(n) return green.priority_queue(n, by_rank) end}

  --- Where the model's next value stands.
  local function next_of(model, less)
    local best = 1
    for i = 2, #model do
      if less(model[i], model[best]) then best = i end
    end
    return best
  end

  for kind, maker in pairs(makers) do
    it("in any order of calls: " .. kind, function()
      local q, model, seq = maker(), {}, 0
      local less, unfinished = earlier(kind), 0
      for _ = 1, 600 do
        local r = math.random(100)
        if r <= 50 then
          seq = seq + 1
          local item = {rank = math.random(8), seq = seq}
          model[#model + 1] = item
          unfinished = unfinished + 1
          q:put(item)
        elseif r <= 96 then
          local item = q:get(0)
          local want = #model > 0
            and table.remove(model, next_of(model, less)) or nil
          assert(item == want)
        elseif r <= 97 then
          assert(q:clear() == #model)
          unfinished = unfinished - #model
          model = {}
        else
          q:resize(math.random() < 0.5 and 1 << 20 or nil)
        end
        assert(#q == #model)
        assert(q:peek() == model[#model > 0 and next_of(model, less) or 1])
      end
      for _ = 1, unfinished do q:task_done() end
      assert.is_true(q:join(0))
    end)

    it("with many threads, limits, kills and foreign closes: " .. kind
      .. ", nothing lost, nothing doubled", function()
        green.config {keep_stacks = math.random(0, 1) * 256}
        green.on_error(function() end)
        local q = maker(math.random(0, 4))
        local put, got, maybe, ts, cos = {}, {}, {}, {}, {}
        for i = 1, 60 do
          ts[#ts + 1] = green.spawn(function()
            cos[#cos + 1] = coroutine.running()
            maybe[i] = true
            local ok = q:put({rank = math.random(4), i = i},
              math.random() < 0.3 and math.random() / 100 or nil)
            maybe[i] = nil
            if ok then put[i] = true end
          end)
          ts[#ts + 1] = green.spawn(function()
            cos[#cos + 1] = coroutine.running()
            local item = q:get(math.random() < 0.3 and math.random() / 100
              or nil)
            if item then
              assert(not got[item.i], "twice")
              got[item.i] = true
            end
          end)
        end
        help.shuffled(ts)
        for _, t in ipairs(ts) do
          local r = math.random(10)
          if r == 1 then t:kill() elseif r == 2 then t:throw("x") end
          if r == 3 and #cos > 0 then
            pcall(coroutine.close, cos[math.random(#cos)])
          end
          if r > 7 then green.sleep(math.random() / 300) end
          if r == 4 then q:resize(math.random(0, 4)) end
        end
        green.sleep(1)
        local g, p = q:waiting()
        assert(g == 0 or p == 0 and #q == 0, "a value and a getter, apart")
        q:close()
        for _, t in ipairs(ts) do t:join() end
        for item in q:items() do
          assert(not got[item.i], "twice")
          got[item.i] = true
        end
        for i = 1, 60 do
          -- one that was closed by force may have put, and did not say so
          assert(put[i] == got[i] or maybe[i], "item " .. i)
        end
        assert.same({0, 0}, {q:waiting()})
      end)
  end
end)
