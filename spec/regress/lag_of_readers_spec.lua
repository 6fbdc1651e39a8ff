-- green.stats() forgot the lag, and the most ready threads, when it had told
-- them: of two that looked, each spoiled the other's figures.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local test = require "green.test"

describe("the lag", function()
  it("is the same for each that looks", function()
    -- Whoever makes them may be preempted before the 500th is ready.
    test.wait_until(function()
      for _ = 1, 500 do green.spawn_n(green.sleep, 0) end
      green.sleep(0.001)
      local stats = green.stats()
      return stats.lag.count > 0 and stats.run_queue_max >= 500
    end, "a long queue")
    local first, second = green.stats(), green.stats()
    assert.is_true(first.lag.count > 0 and second.lag.count > 0)
    assert.is_true(second.lag.max > 0 and second.lag.p99 > 0)
    assert.is_true(second.run_queue_max >= 500)
  end)
end)
