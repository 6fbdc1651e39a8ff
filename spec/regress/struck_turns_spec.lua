-- A loop of calls that were struck at once, each by a limit of its own that had
-- passed or by a new throw, gave nobody a turn: such calls did not count among
-- those that need not wait.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local queue = green.queue()

local bodies = {
  ["limits that have passed"] = function()
    local _ <close> = green.timeout(0)
    green.sleep(1)
  end,
  ["functions with a limit of zero"] = function()
    green.with_timeout(0, queue.get, queue)
  end,
  ["throws at itself"] = function()
    green.current():throw "an error"
    green.sleep(1)
  end,
  ["a limit that is restarted"] = function()
    local to <close> = green.timeout(60)
    to:restart(0)
    green.sleep(1)
  end,
  ["calls within table.sort"] = function()
    table.sort({1, 2}, function() green.with_timeout(0, queue.get, queue) end)
  end,
}

describe("a thread that is struck again and again", function()
  for name, body in pairs(bodies) do
    help.both(it, "gives the others their turns: " .. name, function()
      local turns, over = 0, false
      local bystander = green.spawn(function()
        while not over do
          green.sleep(0)
          turns = turns + 1
        end
      end)
      green.spawn(function()
        for _ = 1, 1000 do pcall(body) end
        over = true
      end):join()
      bystander:join()
      assert.is_true(turns >= 10, turns .. " turns")
    end)
  end
end)
