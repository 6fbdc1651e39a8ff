-- Sending several values to an event makes a table. A finalizer that ran there
-- and also sent was overwritten, and waiters got the table itself.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("an event that a finalizer sends while it is sent", function()
  it("was sent already", function()
    local ev = green.event()
    collectgarbage "incremental"
    collectgarbage "generational"
    collectgarbage "stop"
    setmetatable({}, {__gc = function() ev:send("first") end})
    collectgarbage "restart"
    local ok, err = pcall(ev.send, ev, "second", "third")
    collectgarbage "incremental"
    assert.is_false(ok)
    assert.matches("was sent already", err)
    assert.same({"first"}, {ev:wait()})
  end)
end)
