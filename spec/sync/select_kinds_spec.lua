-- Each kind of thing that select waits for.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"
local fifo_it = test.it(it, {order = "fifo"})
local it = test.it(it)

local blocked = test.blocked
local selecting, filled = help.selecting, help.filled

local function packed(...) return table.pack(...) end

local function user_class(thing)
  return setmetatable({thing = thing}, {
    __waitable = function(self) return self.thing end,
  })
end

--- Each kind of case: how it is made, the case, how it gets ready, and what
--- select returns after the number.
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
      local q = filled(green.queue(1), 0)
      return {q, "put", "v"}, q
    end,
    ready = function(_, q) assert(q:get(0) == 0) end, values = {n = 1, true},
    after = function(_, q) assert.equal("v", q:get(0)) end},
  {name = "a put into a queue that is closed",
    make = function()
      local q = filled(green.queue(1), 0)
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
      local q = filled(green.priority_queue(1, function(a, b)
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
      local q = filled(green.queue(1), 0)
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
        local q = filled(green.queue(1), 0)
        local second = selecting {{q, "put", 1}, o}
        o:release()
        assert.is_true(coroutine.close(co))
        green.on_error(function() end)
        assert.equal(2, (second:wait()))
        assert.same({0, 0}, {q:waiting()})
      end
    end)
end)
