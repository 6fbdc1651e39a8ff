-- Before a resource pool dropped an item that had been idle for too long, it
-- made a lease, which may run finalizers. If one leased the item, the close of
-- a lease raised, and a permit was lost.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("an idle item that a finalizer leases before it is dropped", function()
  it("is the finalizer's", function()
    local pool = green.resource_pool{max = 4, max_idle = 0.01,
      create = function() return {} end}
    green.spawn(function()
      local first, second = pool:lease(), pool:lease()
      local close = debug.getmetatable(first).__close
      close(first)
      green.sleep(0.02)
      local leases = {}
      collectgarbage "incremental"
      collectgarbage "generational"
      collectgarbage "stop"
      setmetatable({}, {__gc = function()
        leases[1], leases[2] = pool:lease(0), pool:lease(0)
      end})
      collectgarbage "restart"
      close(second)
      collectgarbage "incremental"
      assert.equal(2, #leases)
      close(leases[1])
      close(leases[2])
    end):wait()
    assert.equal(4, pool:free())
  end)
end)
