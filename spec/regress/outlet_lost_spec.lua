-- The sender of an outlet joins the written texts, which may run finalizers. A
-- text that one wrote was lost, and the outlet counted it for ever.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local new_outlet = require "green.runtime.outlet"

describe("an outlet that a finalizer writes to while it sends", function()
  it("sends that, too", function()
    local sent = {}
    local conn = {send = function(_, piece)
      sent[#sent + 1] = piece
      return true
    end}
    local outlet = new_outlet(conn, error)
    local sender = green.spawn(outlet.run, outlet)
    green.sleep(0)
    local first, second = ("a"):rep(60), ("b"):rep(60)
    outlet:write(first)
    outlet:write(first)
    collectgarbage "incremental"
    collectgarbage "generational"
    collectgarbage "stop"
    setmetatable({}, {__gc = function() outlet:write(second) end})
    collectgarbage "restart"
    green.sleep(0)
    collectgarbage "incremental"
    outlet:finish()
    sender:wait()
    assert.equal(first .. first .. second, table.concat(sent))
    assert.equal(0, outlet.waiting)
  end)
end)
