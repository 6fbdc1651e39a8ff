-- To list the members of a crew, as its kill does, makes handles: a finalizer
-- that ran there and ended a member freed what the walk stood on.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function nop() end

describe("a pool whose members end while they are listed", function()
  it("kills those that are left", function()
    local _ <close> = setmetatable({}, {__close = function()
      collectgarbage "restart"
      collectgarbage "incremental"
    end})
    local pool, runs = green.pool(math.huge), 0
    for _ = 1, 600 do pool:spawn_n(nop) end
    local function finalizer() -- of the second collection: in the walk
      runs = runs + 1
      if runs == 1 then
        setmetatable({}, {__gc = finalizer})
      else
        for _, t in ipairs(green.threads()) do t:cancel() end
      end
    end
    collectgarbage()
    collectgarbage("generational", 1)
    collectgarbage "stop"
    setmetatable({}, {__gc = finalizer})
    collectgarbage "restart"
    pool:kill()
    assert(runs > 1)
    assert.is_true(pool:wait(0))
  end)
end)
