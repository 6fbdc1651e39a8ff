-- An event was sent several values, for which a table is made; a finalizer that
-- ran there and sent it, too, was overwritten: waiters got the very table.
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
