-- Killing many waiters of one key of a graph, the last first, searched the list
-- of waiters for each of them; shrinking a pool of resources moved all idle
-- items for each that went.
--
-- SPDX-License-Identifier: MIT

local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"

local MANY <const> = os.getenv "LUAGREEN_EAGER_GC" and 300 or 20000

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
