-- At max_stacks the clean-up of a killed thread failed where it had to wait
-- below a C function, and main could not wait for anybody.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("when no C stack is left", function()
  it("clean-up waits all the same, and so does main", function()
    local out = help.child [[
      local green = require "green"
      local function below_c(f) string.gsub("a", "a", f) end
      local function nap() green.sleep(60) end
      local cleaned = 0
      green.on_error(function() end)
      local victims = {}
      for i = 1, 10 do
        victims[i] = green.spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            below_c(function() green.shield(5, green.sleep, 0.001) end)
            cleaned = cleaned + 1
          end})
          green.sleep(60)
        end)
      end
      green.sleep(0.001)
      green.config {max_stacks = green.stats().stacks}
      for _ = 1, 200 do green.spawn_n(below_c, nap) end
      green.sleep(0.001)
      local t = green.spawn(below_c, nap)
      print(pcall(t.wait, t))
      for _, v in ipairs(victims) do v:kill() end
      for _, v in ipairs(victims) do v:join() end
      below_c(function() green.sleep(0.001) end)
      print(cleaned, green.stats().memory > 0)
    ]]
    assert.matches("no C stack left", out)
    assert.matches("10\ttrue", out)
  end)
end)
