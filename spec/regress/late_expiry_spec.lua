-- Only polls looked at the time: expired() was false long after the time, and
-- up to 2,000 calls that never had to wait succeeded after a limit.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function compute(seconds)
  local stop = green.now() + seconds
  while green.now() < stop do end
end

describe("an expiry is noticed", function()
  it("by expired(), whatever the thread did meanwhile", function()
    local due = green.now() + 0.001
    local to <close> = green.timeout(0.001)
    assert.is_true(not to:expired() or green.now() >= due)
    compute(0.002)
    assert.is_true(to:expired())
  end)

  it("by expired() in another thread", function()
    local to
    local _ <close> = green.spawn(function()
      to = green.timeout(0.001)
      green.shield(nil, green.sleep, 60)
    end)
    green.sleep(0)
    compute(0.002)
    assert.is_true(to:expired())
  end)

  it("by the first call after the thread has computed", function()
    local to <close> = green.timeout(0.001)
    compute(0.03)
    assert.is_false(pcall(green.sleep, 0))
    assert.is_true(to:expired())
  end)

  it("by interrupted()", function()
    local to <close> = green.timeout(0.001)
    compute(0.03)
    assert.equal(to, green.interrupted())
  end)

  it("at once when the time was over to begin with", function()
    local q = green.queue()
    local calls = 0
    for _, limit in ipairs {0, -1} do
      local ok, err = green.with_timeout(limit, function()
        q:put(1)
        calls = calls + 1
        return "ran to its end"
      end)
      assert.same({nil, "timeout"}, {ok, err})
    end
    assert.equal(0, calls)
  end)

  it("within a few of the calls that never wait", function()
    local q = green.queue()
    local late = 0
    assert.is_nil(green.with_timeout(0.003, function()
      local deadline = green.deadline()
      while true do
        local over = green.now() > deadline + 0.0001
        q:put(1)
        q:get()
        if over then late = late + 1 end
      end
    end))
    assert.is_true(late <= 8, late .. " calls went through")
  end)

  it("of a shield that is worn out", function()
    local to <close> = green.timeout(0)
    assert.is_false(pcall(green.shield, 0.001, function()
      compute(0.03)
      green.sleep(0)
    end))
    assert.is_true(to:expired())
  end)
end)
