-- Blocking is refused in a priority queue's comparison, but one that called
-- warn could block after that.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a comparison that warns", function()
  it("still may not block", function()
    local errors = {}
    local q = green.priority_queue(nil, function(a, b)
      warn("@off")
      errors[#errors + 1] = select(2, pcall(green.sleep, 0))
      return a < b
    end)
    q:put(2)
    q:put(1)
    assert.equal(1, #errors)
    assert.matches("cannot block in a priority queue's comparison", errors[1])
    green.sleep(0)
    assert.equal(1, q:get())
  end)
end)
