-- If two threads wait for a tick, one gets it, and the other waits again. It
-- did not look for strikes that came between its wake-up and its turn: a killed
-- thread slept on to the next tick, and the ones after it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local test = require "green.test"

local it = test.it(it, {order = "fifo"})

describe("a thread that waits for a tick which another one gets", function()
  local ways = {
    ["ticker:wait"] = function(k) return k:wait() end,
    select = function(k) return green.select {k} end,
  }
  for name, wait in pairs(ways) do
    it("is ended by a kill that came meanwhile, in " .. name, function()
      local k, loser = green.ticker(1), nil
      local winner = green.spawn(function()
        k:wait()
        loser:kill()
        return green.now()
      end)
      loser = green.spawn(wait, k)
      local at = winner:wait()
      assert.is_false(loser:join())
      assert.is_true(green.now() < at + 0.5)
    end)
  end
end)
