-- The hook that watches a killed thread came with a fixed period, in step with
-- a loop of warn(), where it must not switch: the process stood still.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a killed thread that warns for ever", function()
  it("is forced, and blocking is allowed afterwards", function()
    local out = help.child [[
      local green = require "green"
      green.config {grace = 0.02}
      for _ = 1, 5 do
        local t = green.spawn(string.gsub, "a", "a", function()
          pcall(green.sleep, 60)
          while true do
            pcall(function() while true do warn("@off") end end)
          end
        end)
        green.sleep(0)
        t:kill()
        t:join()
        green.sleep(0)
        io.write(t:status(), " ")
      end
    ]]
    assert.equal(("killed "):rep(5), out)
  end)
end)
