-- blocked() makes a table; a finalizer that ran there and woke the thread left
-- the table without `what`.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a thread that a finalizer wakes while it is asked", function()
  it("waits for nothing", function()
    local ev = green.event()
    local t = green.spawn(ev.wait, ev)
    green.sleep(0)
    assert.equal("event:wait", t:blocked().what)
    collectgarbage "incremental"
    collectgarbage "generational"
    collectgarbage "stop"
    setmetatable({}, {__gc = function() ev:send() end})
    collectgarbage "restart"
    local waiting = t:blocked()
    collectgarbage "incremental"
    assert.is_nil(waiting)
    t:wait()
  end)
end)
