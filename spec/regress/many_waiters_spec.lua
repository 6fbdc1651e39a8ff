-- Ends of waits cost more the more others waited: a graph's loop looked for
-- itself among all that waited for the key, a pool of resources moved all idle
-- items to take the oldest and asked all dying ones at each lease, a closed put
-- was looked for among all others, a failure copied the whole chain before it.
--
-- SPDX-License-Identifier: MIT

local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"

--- How many thousands of instructions of Lua f(...) takes.
local function steps(f, ...)
  local n = 0
  debug.sethook(function() n = n + 1 end, "", 100)
  f(...)
  debug.sethook()
  return n
end

--- Four times as many take about four times as long, not sixteen times.
local function is_linear(n, prepare, run)
  local few, many = prepare(n), prepare(4 * n)
  local a, b = steps(run, few), steps(run, many)
  assert.is_true(b <= 7 * a + 100, ("%d steps for %d, %d for %d"):format(a, n,
    b, 4 * n))
end

local orders = {
  forward = function(n) return 1, n, 1 end,
  backward = function(n) return n, 1, -1 end,
}

describe("many loops that wait for one key of a graph", function()
  local function loops(n)
    local d, list = dag(), {}
    for i = 1, n do list[i] = d:wait_each {"key"} end
    return list
  end

  for name, order in pairs(orders) do
    it("leave it one by one, " .. name, function()
      is_linear(300, loops, function(list)
        local close = debug.getmetatable(list[1]).__close
        local first, last, step = order(#list)
        for i = first, last, step do close(list[i]) end
      end)
    end)
  end

  it("are killed in any order, and the others get the value", function()
    local d, list = dag(), {}
    for i = 1, 400 do
      list[i] = green.spawn(function() return d:wait {"key"}.key end)
    end
    help.blocked(table.unpack(list, 1, 100))
    for i = 400, 1, -1 do
      if i % 4 ~= 0 then list[i]:kill() end
    end
    help.ended(list[1], list[399])
    d:post("key", "value")
    for i = 4, 400, 4 do assert.equal("value", list[i]:wait()) end
  end)
end)

describe("a chain of tasks that fails", function()
  it("needs no memory for all its keys in each of them", function()
    local d = dag()
    d:spawn(0, nil, error, "the cause")
    for i = 1, 2000 do
      d:spawn(i, {i - 1}, function(_, results) return results:wait() end)
    end
    collectgarbage()
    local before = collectgarbage "count"
    local ok, err = pcall(d.wait, d, {2000})
    assert.is_false(ok)
    assert.is_true(collectgarbage "count" - before < 16000)
    assert.equal(2000, err.key)
    assert.same({2001, 2000, 0}, {#err.chain, err.chain[1], err.chain[2001]})
  end)
end)

describe("a pool of resources with many idle items", function()
  local function idle(n, options)
    options = options or {}
    options.max, options.create = n, function() return {} end
    local pool, leases = green.resource_pool(options), {}
    for i = 1, n do leases[i] = pool:lease() end
    for i = 1, n do debug.getmetatable(leases[i]).__close(leases[i]) end
    return pool
  end

  it("shrinks to one by taking each once", function()
    -- 300,000 that move up each time take minutes
    local n = os.getenv "LUAGREEN_EAGER_GC" and 10000 or 300000
    local pool = idle(n)
    pool:resize(1)
    assert.equal(1, pool:free())
    assert.equal(1, pool.live)
  end)

  it("is leased from at the same price while many are being destroyed",
    function()
      is_linear(100, function(n)
        local gate = green.event()
        local pool = idle(2 * n, {destroy = function() gate:wait() end})
        pool:resize(n)
        green.sleep(0)
        return {pool = pool, gate = gate, n = n}
      end, function(it)
        for _ = 1, it.n do
          local lease <close> = it.pool:lease()
          assert(lease)
        end
        it.gate:send()
        assert(it.pool:close(20))
      end)
    end)
end)

describe("many puts that wait", function()
  it("leave it one by one when foreign code closes their coroutines", function()
    -- 3,000 that are looked for among each other for each that is closed take
    -- minutes
    local n = 3000
    local q, list = green.queue(1), {}
    q:put(0)
    for i = 1, n do
      list[i] = coroutine.create(function() end) -- keeps the numbers apart
      green.spawn_n(function()
        list[i] = coroutine.running()
        q:put {i}
      end)
    end
    help.wait_until(function() return select(2, q:waiting()) == n end)
    local ended = 0
    for i = n, 2, -1 do
      coroutine.close(list[i])
      if q:peek() == 0 then ended = ended + 1 end
    end
    assert.equal(n - 1, ended)
    assert.equal(0, q:get())
    assert.same({1}, q:get())
  end)
end)

describe("a selector of many tickers", function()
  it("loses them in the order in which they came", function()
    -- 60,000 that are looked for from the last on take minutes
    local n = os.getenv "LUAGREEN_EAGER_GC" and 3000 or 60000
    local ticker, list = green.ticker(1000), {}
    for i = 1, n do list[i] = ticker end
    local s = green.selector(list)
    for i = 1, n do assert(s:remove(i)) end
    assert.equal(0, #s)
  end)
end)
