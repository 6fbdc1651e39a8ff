--- A killed thread that computed in its clean-up gave the others a turn each
--- 100 ms, however short config.preempt was.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a killed thread that computes", function()
  --- Runs f(turns) after the kill, in a handler of <close>; turns() counts
  --- those of another thread. Returns its result, or nil if it was cut short.
  local function cleaning_up(f)
    local turns, result = 0, nil
    local other <close> = green.spawn(function()
      while true do
        turns = turns + 1
        green.sleep(0)
      end
    end)
    local t = help.blocked(green.spawn(function()
      local _ <close> = setmetatable({}, {__close = function()
        result = f(function() return turns end)
      end})
      green.sleep(60)
    end))
    t:kill()
    t:join()
    local _ = other
    return result
  end

  it("is preempted as any other", function()
    -- 200 turns took 20 s: longer than the grace, which ends the handler.
    help.with_config({preempt = 0.001, grace = 12}, function()
      assert.is_true(cleaning_up(function(turns)
        local last = turns() + 200
        while turns() < last do end -- luacheck: ignore 542
        return true
      end))
    end)
  end)

  it("is not preempted in green.atomic", function()
    help.with_config({preempt = 0.001, grace = 20}, function()
      local function compute(turns)
        local before, stop = turns(), os.clock() + 0.02
        while os.clock() < stop do end -- luacheck: ignore 542
        return turns() == before
      end
      assert.is_true(cleaning_up(function(turns)
        for _ = 1, 100 do -- the machine may stand still in some
          if green.atomic(compute, turns) then return true end
        end
        return false
      end))
    end)
  end)
end)
