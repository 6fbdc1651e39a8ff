-- The coroutine of a killed thread was reset without the hook that watches
-- it: a <close> handler that computed for ever stopped the process.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a handler of <close> that computes for ever", function()
  it("is forced like anything else in a killed thread", function()
    help.with_config({grace = 0.05}, function()
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          local function compute() while true do end end -- luacheck: ignore
          while true do pcall(compute) end
        end})
        green.sleep(60)
      end)
      help.blocked(t)
      t:kill()
      t:join()
      assert.equal("killed", t:status())
    end)
  end)
end)
