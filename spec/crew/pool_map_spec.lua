-- Pools: map, imap and imap_unordered.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local pools = require "spec.pools"
local test = require "green.test"

local long = test.it(it, {order = "fifo", limit = 60, seeds = 5})
local it = test.it(it)

local counter, killed = pools.counter, pools.killed
local settled = pools.settled

describe("pool:map", function()
  it("returns the first results in order of the input, and their number",
    function()
      local pool, c = green.pool(3), counter()
      local r = pool:map(function(i)
        local _ <close> = c.begin()
        green.sleep(math.random() / 10)
        if i % 3 == 0 then return nil, "second" end
        return i * i, "second"
      end, {1, 2, 3, 4, 5, 6, 7})
      assert.same({1, 4, nil, 16, 25, nil, 49, n = 7}, r)
      assert.equal(3, c.most)
      settled(pool, 3)
    end)

  it("takes a list, pairs, a generator, or any iterator", function()
    local pool = green.pool(2)
    local function both(a, b) return tostring(a) .. tostring(b) end
    assert.same({n = 0}, pool:map(both, {}))
    assert.same({n = 0}, pool:map(both, function() end))
    assert.same({"1nil", "2nil", n = 2}, pool:map(both, {1, 2}))
    assert.same({"1x", "2y", n = 2}, pool:map(both, ipairs {"x", "y"}))
    assert.same({"kv", n = 1}, pool:map(both, pairs {k = "v"}))
    assert.same({"1nil", "2nil", n = 2}, pool:map(both,
      coroutine.wrap(function()
        for i = 1, 2 do
          green.sleep(0.01)
          coroutine.yield(i)
        end
      end)))
    local callable = setmetatable({}, {__call = function(_, s, i)
      if i < s then return i + 1, "z" end
    end})
    assert.same({"1z", "2z", n = 2}, pool:map(both, callable, 2, 0))
    settled(pool, 2)
  end)

  it("closes its input, whatever ends it", function()
    local pool, closed = green.pool(2), 0
    local closing = setmetatable({}, {__close = function()
      closed = closed + 1
    end})
    pool:map(print, function() end, nil, nil, closing)
    assert.equal(1, closed)
    pcall(pool.map, pool, error, next, {1}, nil, closing)
    assert.equal(2, closed)
    pcall(pool.map, pool, green.sleep, error, "of the input", nil, closing)
    assert.equal(3, closed)
    local _, err = pcall(pool.map, pool, print, next, {}, nil, 7)
    assert.matches("bad argument #5 to 'map'", err)
    settled(pool, 2)
  end)

  it("raises the very value of the first failure, and kills and joins the "
    .. "rest", function()
      local pool, value, cleaned = green.pool(3), {}, 0
      local text
      local ok, err = xpcall(pool.map, function(e)
        text = green.traceback(e)
        return e
      end, pool, function(i)
        if i == 2 then green.sleep(0.1) error(value) end
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(1, green.sleep, 0.1)
          cleaned = cleaned + 1
        end})
        green.sleep(1e6)
      end, {1, 2, 3})
      assert.is_false(ok)
      assert.equal(value, err)
      assert.equal(2, cleaned)
      assert.matches("caused by #%d+", text)
      settled(pool, 3)
    end)

  it("reads no more of the input after a failure than it had room for",
    function()
      local pool, read = green.pool(2), 0
      local ok, err = pcall(pool.map, pool, function(i)
        green.sleep(0.01)
        if i == 3 then error("third", 0) end
      end, function(_, i)
        read = read + 1
        return (i or 0) + 1
      end)
      assert.same({false, "third"}, {ok, err})
      assert.is_true(read <= 6)
      settled(pool, 2)
    end)

  it("raises an error of the input, and kills the workers", function()
    local pool = green.pool(5)
    local ok, err = pcall(pool.map, pool, green.sleep, function(_, i)
      if i == 3 then error("input", 0) end
      return (i or 1e6) and (i or 0) + 1
    end)
    assert.same({false, "input"}, {ok, err})
    settled(pool, 5)
  end)

  it("hands failures that nobody reads to on_error", function()
    local pool = green.pool(2)
    local list = help.collecting(function(errors)
      pcall(pool.map, pool, function(i)
        local _ <close> = setmetatable({}, {__close = function()
          if i == 1 then error("clean-up", 0) end
        end})
        green.sleep(i == 1 and 1e6 or 0.1)
        error("first", 0)
      end, {1, 2})
      test.wait_until(function() return #errors == 1 end)
      green.sleep(0.1)
    end)
    assert.equal(1, #list)
    assert.equal("clean-up", list[1].err)
  end)

  it("is interrupted, and kills and joins its workers", function()
    local pool = green.pool(2)
    local t = green.spawn(pool.map, pool, green.sleep, {1e6, 1e6, 1e6})
    test.blocked(t)
    t:kill()
    assert.is_true(killed(select(2, t:join())))
    settled(pool, 2)
    assert.same({nil, "timeout"}, {green.with_timeout(1, pool.map, pool,
      green.sleep, {1e6, 1e6, 1e6})})
    settled(pool, 2)
  end)

  it("may be used by a worker of the pool, also of a pool of one", function()
    for size = 1, 3 do
      local pool = green.pool(size)
      local function double(x) green.sleep(0.01) return 2 * x end
      local function nested(n)
        local r = pool:map(double, {n, n + 1, n + 2})
        return r[1] + r[2] + r[3]
      end
      assert.same({12, 18, n = 2}, pool:map(nested, {1, 2}))
      settled(pool, size)
    end
  end)

  it("refuses misuse at the caller's line", function()
    local pool = green.pool(2)
    for _, name in ipairs {"map", "imap", "imap_unordered"} do
      local here = "^%S*pool_map_spec.lua:%d+: "
      local _, err = pcall(function() pool[name](pool, nil, {}) end)
      assert.matches(here .. "bad argument #1 to '" .. name, err)
      for _, input in ipairs {7, "x", true} do
        local _, why = pcall(function() pool[name](pool, print, input) end)
        assert.matches(here .. "bad argument #2 to '" .. name, why)
      end
      _, err = pcall(function() pool[name](print, {}) end)
      assert.matches("^%S*pool_map_spec.lua:%d+: calling '" .. name
        .. "' on bad self", err)
    end
  end)
end)

for _, name in ipairs {"imap", "imap_unordered"} do
  local ordered = name == "imap"

  describe("pool:" .. name, function()
    it("yields the place, then pcall's shape, for every item", function()
      local pool, seen = green.pool(3), {}
      for i, ok, a, b in pool[name](pool, function(x)
        green.sleep(math.random() / 10)
        if x == 3 then error("third", 0) end
        if x == 4 then return end
        return x, -x
      end, {1, 2, 3, 4, 5}) do
        if ordered then assert.equal(#seen + 1, i) end
        seen[#seen + 1] = i
        assert.equal(i ~= 3, ok)
        if i == 3 then
          assert.equal("third", a)
        elseif i == 4 then
          assert.is_nil(a)
        else
          assert.same({i, -i}, {a, b})
        end
      end
      table.sort(seen)
      assert.same({1, 2, 3, 4, 5}, seen)
      settled(pool, 3)
    end)

    it("reads nothing before the first step, and never more than the size "
      .. "ahead", function()
        for size = 1, 4 do
          local pool, read, taken = green.pool(size), 0, 0
          local function input(_, i)
            read = read + 1
            assert.is_true(read - taken <= size)
            if (i or 0) < 20 then return (i or 0) + 1 end
          end
          local f, s, c, closing = pool[name](pool, function(i)
            if math.random() < 0.5 then green.sleep(math.random() / 100) end
            return i
          end, input)
          green.sleep(0.1)
          assert.equal(0, read)
          for _, ok in f, s, c, closing do
            taken = taken + 1
            assert.is_true(ok)
            green.sleep(math.random(0, 1) / 100)
          end
          assert.equal(20, taken)
          settled(pool, size)
        end
      end)

    it("left early kills and joins the workers and closes the input",
      function()
        local pool, ended, closed = green.pool(3), 0, false
        local closing = setmetatable({}, {__close = function()
          closed = ended
        end})
        for _, ok in pool[name](pool, function(i) -- luacheck: ignore
          local _ <close> = setmetatable({}, {__close = function()
            if i > 1 then green.shield(1, green.sleep, 0.1) end
            ended = ended + 1
          end})
          green.sleep(i == 1 and 0.01 or 1e6)
        end, function(_, i) return (i or 0) + 1 end, nil, nil, closing) do
          assert.is_true(ok)
          break
        end
        assert.equal(3, ended)
        assert.equal(3, closed)
        settled(pool, 3)
      end)

    it("hands failures that nobody reads to on_error", function()
      local pool = green.pool(3)
      local list = help.collecting(function(errors)
        for i in pool[name](pool, function(x) -- luacheck: ignore
          if x == 1 then return end
          green.sleep(0.01)
          error(x, 0)
        end, {1, 2, 3}) do
          green.sleep(0.1)
          assert.is_truthy(i)
          break
        end
        test.wait_until(function() return #errors >= 2 end)
      end)
      assert.is_true(#list >= 2)
    end)

    it("that is dropped half-way hands failures to on_error", function()
      local pool, gate = green.pool(3), green.event()
      local list = help.collecting(function(errors)
        do
          local f, s = pool[name](pool, function(x)
            if x == 3 then gate:wait() end
            if x == 2 then green.sleep(0.01) end
            if x > 1 then error(x, 0) end
          end, {1, 2, 3})
          f(s)
          green.sleep(0.1)
        end
        collectgarbage()
        collectgarbage()
        gate:send()
        test.wait_until(function() return #errors >= 2 end)
      end)
      assert.is_true(#list >= 2)
      settled(pool, 3)
    end)

    it("raises an error of the input to the consumer, once", function()
      local pool, taken = green.pool(2), 0
      local ok, err = pcall(function()
        for _ in pool[name](pool, green.sleep, function(_, i)
          if i == 4 then error("input", 0) end
          return (i or 0) + 1
        end) do
          taken = taken + 1
        end
      end)
      assert.same({false, "input"}, {ok, err})
      assert.is_true(taken >= 2)
      settled(pool, 2)
    end)

    it("takes empty inputs, and iterators that block or are generators",
      function()
        local pool, n = green.pool(2), 0
        for _ in pool[name](pool, print, {}) do n = n + 1 end
        assert.equal(0, n)
        for _, ok, v in pool[name](pool, tostring, coroutine.wrap(function()
          for i = 1, 5 do
            green.sleep(0.01)
            coroutine.yield(i)
          end
        end)) do
          assert.is_true(ok and v ~= nil)
          n = n + 1
        end
        assert.equal(5, n)
        settled(pool, 2)
      end)

    it("is left by an interruption of the consumer", function()
      local pool = green.pool(2)
      local function consume()
        for _ in pool[name](pool, green.sleep, {0, 1e6, 1e6, 1e6}) do
          green.sleep(0)
        end
      end
      local t = test.blocked(green.spawn(consume))
      green.sleep(0.01)
      t:kill()
      assert.is_true(killed(select(2, t:join())))
      settled(pool, 2)
      assert.same({nil, "timeout"}, {green.with_timeout(1, consume)})
      settled(pool, 2)
    end)

    it("may be consumed by a worker of the pool, and by two at once",
      function()
        for size = 1, 3 do
          local pool = green.pool(size)
          local function consumer()
            local sum = 0
            for _, _, v in pool[name](pool, function(x)
              green.sleep(math.random() / 100)
              return x
            end, {1, 2, 3, 4, 5, 6}) do
              sum = sum + v
            end
            return sum
          end
          local a, b = pool:spawn(consumer), pool:spawn(consumer)
          local c, d = green.spawn(consumer), green.spawn(consumer)
          for _, t in ipairs {a, b, c, d} do assert.equal(21, t:wait()) end
          settled(pool, size)
        end
      end)

    it("shared by two readers gives each item to one of them", function()
      local pool, seen = green.pool(3), {}
      local f, s, _, closing = pool[name](pool, function(x)
        green.sleep(math.random() / 100)
        return x
      end, {1, 2, 3, 4, 5, 6, 7, 8, 9})
      local function read()
        for i, ok, v in f, s do
          assert(ok and i == v)
          seen[#seen + 1] = i
        end
      end
      local a, b = green.spawn(read), green.spawn(read)
      a:wait()
      b:wait()
      table.sort(seen)
      assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9}, seen)
      getmetatable(closing).__close(closing)
      settled(pool, 3)
    end)

    long("of 20,000 items needs no more memory than of 100", function()
      local pool = green.pool(10)
      local function memory()
        collectgarbage()
        collectgarbage()
        return collectgarbage("count")
      end
      local function run(n)
        local most = 0
        for i in pool[name](pool, tostring, function(_, i)
          if (i or 0) < n then return (i or 0) + 1 end
        end) do
          if i % 5000 == 0 then most = math.max(most, memory()) end
        end
        return math.max(most, memory())
      end
      run(5000)
      local few = run(5000)
      local many = run(20000)
      assert.is_true(many < few + 1000, many - few)
    end)
  end)
end

describe("a worker of map", function()
  it("may look at its own handle, and drop it", function()
    local pool <close> = green.pool(4)
    local input = {}
    for i = 1, 3000 do input[i] = i end
    for _ = 1, 3 do
      local sum = 0
      for _, ok, v in pool:imap_unordered(function(i)
        assert(green.current():status() == "running")
        if i % 3 == 0 then green.sleep(0) end
        if i % 50 == 0 then collectgarbage("step", 1) end
        return i
      end, input) do
        assert(ok)
        sum = sum + v
      end
      assert.equal(3000 * 3001 // 2, sum)
    end
  end)

  it("whose handle is kept gives its result there, too", function()
    local handles = {}
    local results = green.pool(2):map(function(i)
      handles[i] = green.current()
      return i * i
    end, {1, 2, 3})
    assert.same({1, 4, 9, n = 3}, results)
    collectgarbage()
    for i, t in ipairs(handles) do
      assert.equal("done", t:status())
      assert.equal(i * i, t:wait())
    end
  end)

  it("that fails is told by its handle, which outlives the map", function()
    local failed
    local ok, err = pcall(green.pool(2).map, green.pool(2), function(i)
      failed = green.current()
      error("no " .. i, 0)
    end, {7})
    assert.is_false(ok)
    assert.equal("no 7", err)
    assert.same({false, "no 7"}, {failed:join()})
    assert.matches("pool_map_spec.lua:%d+: in function", failed:traceback())
  end)
end)
