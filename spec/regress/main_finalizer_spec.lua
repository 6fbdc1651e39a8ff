-- When main was about to block after a spawn, it made an object. A finalizer
-- that ran there and put into the same queue woke nobody, because main had
-- looked into the queue before and joined its getters after.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function finalized(f)
  green.spawn_n(green.sleep, 0)
  collectgarbage "stop"
  setmetatable({}, {__gc = f})
end

describe("the main thread", function()
  local early = 0

  --- The result of the wait, if f ran at its beginning: f runs if the wait
  --- allocates at all, which it need not.
  local function check(f, wait)
    local began, ran = green.now(), nil
    collectgarbage "generational"
    finalized(function() ran = green.now() f() end)
    collectgarbage "restart" -- the next thing that is made runs all of it
    local result = wait()
    local found = ran and ran < began + 0.5
    collectgarbage "incremental"
    green.sleep(0)
    if not found then return true end
    early = early + 1
    return result
  end

  it("finds what a finalizer puts while it prepares to wait", function()
    local q, e, s = green.queue(), green.event(), green.semaphore(0)
    for _ = 1, 5 do
      assert.truthy(check(function() q:put(true, 0) end, function()
        return q:get(1)
      end))
    end
    assert.truthy(check(function() e:send() end, function()
      return e:wait(1)
    end))
    assert.truthy(check(function() s:release() end, function()
      return s:acquire(1)
    end))
    assert(early > 0)
  end)
end)
