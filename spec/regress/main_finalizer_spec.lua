-- When main had spawned and was about to block, it made an object first; a
-- finalizer that ran there and put into the very queue woke nobody, as main
-- had looked into the queue before and joined its getters after.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function finalized(f)
  green.spawn_n(green.sleep, 0)
  collectgarbage "stop"
  setmetatable({}, {__gc = f})
end

describe("the main thread", function()
  local function check(f, wait)
    collectgarbage "generational"
    finalized(f)
    collectgarbage "restart" -- the next thing that is made runs all of it
    local results = table.pack(wait())
    collectgarbage "incremental"
    green.sleep(0)
    return results
  end

  it("finds what a finalizer puts while it prepares to wait", function()
    local q, e, s = green.queue(), green.event(), green.semaphore(0)
    for i = 1, 5 do
      local r = check(function() q:put(i, 0) end, function()
        return q:get(0.2)
      end)
      assert.equal(i, r[1])
    end
    assert.is_true(check(function() e:send() end, function()
      return e:wait(0.2)
    end)[1])
    assert.truthy(check(function() s:release() end, function()
      return s:acquire(0.2)
    end)[1])
  end)
end)
