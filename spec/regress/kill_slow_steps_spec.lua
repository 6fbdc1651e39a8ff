--- A killed thread was looked at after 10,000 instructions. If each was slow,
--- as the comparison of long texts is, that took a minute, in which nobody else
--- had a turn, even with preemption.

local green = require "green"

describe("a thread whose instructions are slow", function()
  it("ends after its kill, and the others have turns", function()
    local former = green.config()
    green.config {preempt = 0.002, grace = 0.02}
    local _ <close> = setmetatable({}, {__close = function()
      green.config {preempt = former.preempt, grace = former.grace}
    end})
    local a, b = ("a"):rep(1 << 25), ("a"):rep(1 << 25)
    local t = green.spawn(function()
      while true do local _ = a == b end
    end)
    green.sleep(0)
    local began = green.now()
    t:kill()
    assert.is_false((t:join(1e3)))
    assert.is_true(green.now() - began < 5, "it took too long")
  end)
end)
