-- ticker:wait(0) switched, like a wait of a nanosecond.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("ticker:wait with a limit of 0", function()
  it("never switches, and gives a tick that is due", function()
    local k, ran = green.ticker(0.001), false
    green.sleep(0.003)
    green.spawn(function() ran = true end)
    assert.is_true(k:wait(0) >= 1)
    assert.same({nil, "timeout"}, {green.ticker(60):wait(0)})
    assert.is_false(ran)
    assert.is_false(pcall(k.wait, k, 0 / 0))
    k:close()
    assert.same({nil, "closed"}, {k:wait(0)})
    green.sleep(0)
  end)
end)
