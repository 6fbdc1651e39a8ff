-- Killing many waiters of one key of a graph, the last first, searched the list
-- of waiters for each of them; shrinking a pool of resources moved all idle
-- items for each that went.
--
-- SPDX-License-Identifier: MIT

local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"

local MANY <const> = os.getenv "LUAGREEN_EAGER_GC" and 300 or 20000

-- For each fifth of new memory Lua 5.5's generational collector visits all
-- coroutines: quadratic, too, but not ours.
local former
setup(function() former = collectgarbage "incremental" end)
teardown(function() collectgarbage(former) end)

describe("where very many wait, each may leave first or last", function()
  -- This took 10 s, for twice as many four times that.
  it("for a key of a graph, which is decided all the same", function()
    local d, threads = dag(), {}
    for i = 1, MANY do threads[i] = green.spawn(d.wait, d, {"key"}) end
    help.blocked(threads[MANY])
    for i = MANY, 2, -1 do threads[i]:kill(0) end
    for i = MANY, 2, -1 do threads[i]:join() end
    d:post("key", 7)
    assert.same({key = 7}, threads[1]:wait())
  end)

  it("and the others hear of it in the order in which they came", function()
    local d = dag()
    local order, threads = {}, {}
    for i = 1, 9 do
      threads[i] = green.spawn(function()
        d:wait {"key"}
        order[#order + 1] = i
      end)
    end
    help.blocked(table.unpack(threads))
    for _, i in ipairs {1, 3, 4, 6, 7} do threads[i]:kill() end
    d:post("key", 1)
    help.ended(table.unpack(threads))
    assert.same({2, 5, 8, 9}, order)
  end)

  it("and of a pool that shrinks the oldest items go first", function()
    local many <const> = 2000
    local made, gone = 0, {}
    local rp = green.resource_pool {max = many,
      create = function()
        made = made + 1
        return made
      end,
      destroy = function(item) gone[#gone + 1] = item end}
    local leases = {}
    for i = 1, many do leases[i] = rp:lease() end
    for i = 1, many do getmetatable(leases[i]).__close(leases[i]) end
    rp:resize(1)
    help.wait_until(function() return #gone == many - 1 end)
    for i = 1, many - 1 do
      if gone[i] ~= i then error("item " .. gone[i] .. " came too early") end
    end
    local lease <close>, item = rp:lease()
    assert.is_truthy(lease)
    assert.equal(many, item)
  end)
end)

describe("a connection", function()
  it("takes many bytes back, one by one", function()
    -- four million that are copied for each new one take minutes
    local n = os.getenv "LUAGREEN_EAGER_GC" and 20000 or 4000000
    local a, b = green.socketpair()
    b:send "end"
    assert.equal("end", a:peek(3))
    for i = 1, n do a:unread(i == n and "first" or ".") end
    assert.equal("first", a:receive(5))
    assert.equal(n - 1, #a:receive(n - 1))
    assert.equal("end", a:receive(3))
    a:close()
    b:close()
  end)
end)

describe("a limit among many in one thread", function()
  it("is begun anew at the same price", function()
    -- 100,000 that look at each other take minutes
    local n = os.getenv "LUAGREEN_EAGER_GC" and 1000 or 100000
    local list = {}
    for i = 1, n do list[i] = green.timeout(10000) end
    for i = 1, n do list[i]:restart(20000) end
    assert.is_true(green.time_left() > 10000)
    list[1]:restart(0)
    local ok, err = pcall(green.sleep, 1)
    for i = n, 1, -1 do list[i]:cancel() end
    assert.is_false(ok)
    assert.equal(list[1], err)
    green.sleep(0)
  end)
end)
