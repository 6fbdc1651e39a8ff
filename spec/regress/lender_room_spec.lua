-- A member of a full pool that spawned into it lent its slot and waited until
-- it got one back, although a finalizer had made room while the child was made.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function nop() end

describe("a member that spawns into its own full pool", function()
  it("goes on at once if a finalizer makes room meanwhile", function()
    local pool, went_on = green.pool(2), green.event()
    local child
    pool:spawn_n(function()
      local sibling = pool:spawn(nop)
      local function wait() return went_on:wait(0.5) end
      collectgarbage "incremental"
      collectgarbage "generational"
      collectgarbage "stop"
      setmetatable({}, {__gc = function() sibling:cancel() end})
      collectgarbage "restart"
      child = pool:spawn(wait)
      collectgarbage "incremental"
      went_on:send(sibling:status())
    end)
    pool:wait()
    assert.equal("killed", (child:wait()))
  end)
end)
