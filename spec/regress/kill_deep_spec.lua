-- Each tick set the hook of a killed thread anew, which visits each frame.
-- Among 300,000 frames that took longer than a tick: nothing else was done.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a killed thread that recurses without end", function()
  it("ends, whatever ticks come", function()
    help.with_config({preempt = 0.002, grace = 0.02}, function()
      for _ = 1, 2 do
        local turns = 0
        local other <close> = green.spawn(function()
          while true do
            green.sleep(0)
            turns = turns + 1
          end
        end)
        local t = green.spawn(function()
          local function f() return 1 + f() end
          while true do pcall(f) end
        end)
        help.wait_until(function() return turns > 10 end)
        t:kill()
        help.ended(t)
        other:kill()
      end
    end)
  end)
end)
