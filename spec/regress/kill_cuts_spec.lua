-- A killed thread that computed for some 10,000 instructions gave the others a
-- turn, in the middle of a <close> handler, even the library's.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a handler of <close> of a killed thread", function()
  help.both(it, "is not cut in two unless it computes for long", function()
    --- How many of 20 were cut. The machine itself may hold one up.
    local function cuts()
      local inside, cut, ts = nil, 0, {}
      for i = 1, 20 do
        ts[i] = green.spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            if inside then cut = cut + 1 end
            inside = i
            for _ = 1, 50000 do end
            inside = nil
          end})
          green.sleep(60)
        end)
      end
      help.blocked(table.unpack(ts))
      for _, t in ipairs(ts) do t:kill() end
      help.ended(table.unpack(ts))
      return cut
    end
    local least = math.huge
    for _ = 1, 10 do
      least = math.min(least, cuts())
      if least == 0 then return end
    end
    error(least .. " were cut, each time")
  end)

  help.both(it, "gives the others a turn if it does", function()
    help.with_config({grace = 1.5}, function()
      local turns = 0
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          while true do turns = turns end
        end})
        green.sleep(60)
      end)
      help.blocked(t)
      t:kill()
      while t:status() ~= "killed" do
        turns = turns + 1
        green.sleep(0)
      end
      assert.is_true(turns > 1, "one turn only")
    end)
  end)
end)
