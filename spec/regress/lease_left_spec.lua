-- A thread that was ended by force while it was preempted, or between the
-- return of lease() and the variable that takes the lease, did not close that:
-- the pool had one permit less for ever.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function lend()
  local t = {}
  return green.resource_pool {max = 1, create = function() return t end}
end

--- Computes with the only lease, and cannot be reset.
local function hold(pool)
  table.sort({1, 2, 3}, function()
    while true do
      pcall(function()
        local _ <close> = pool:lease(0)
        while true do end
      end)
    end
  end)
end

describe("a lease that nobody closes", function()
  it("comes back when it is collected, after a forced kill", function()
    local pool = lend()
    help.with_config({grace = 0.001, preempt = 0.001}, function()
      local t = green.spawn(hold, pool)
      green.sleep(0)
      t:kill()
      t:join()
    end)
    collectgarbage()
    collectgarbage()
    local lease <close>, err = pool:lease(0)
    assert.truthy(lease, err)
  end)

  help.both(it, "goes to a thread that waits when it is collected", function()
    local pool = lend()
    local held = {(pool:lease())}
    local t = green.spawn(function()
      local lease <close> = pool:lease()
      return lease ~= nil
    end)
    help.blocked(t)
    assert.is_truthy(held[1])
    held[1] = nil
    collectgarbage()
    collectgarbage()
    assert.is_true(t:wait())
    assert.equal(1, pool:free())
  end)
end)
