-- A block with a group or a pool ended while an interruption was pending that
-- no call of the block had raised, as the body had computed past its limit:
-- the members were killed, and that was all. A loop of such blocks went on for
-- ever, and killed the members of each.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

--- Computes until the time is over.
local function compute(to)
  while not to:expired() do end
end

for kind, make in pairs {
  group = green.group,
  pool = function() return green.pool(3) end,
} do
  describe("the end of a block with a " .. kind, function()
    it("raises a timeout that the block never met, after the join", function()
      local rounds, child = 0
      local to <close> = green.timeout(0.001)
      local ok, err = pcall(function()
        while rounds < 100 do
          local crew <close> = make()
          rounds = rounds + 1
          if kind == "group" then child = crew:spawn(green.sleep, 100) end
          compute(to)
        end
      end)
      assert.same({false, 1}, {ok, rounds})
      assert.equal(to, err)
      if child then assert.equal("killed", child:status()) end
    end)

    it("raises what was thrown meanwhile, once", function()
      local rounds = 0
      local t = green.spawn(function()
        local ok, err = pcall(function()
          while rounds < 100 do
            local crew <close> = make()
            rounds = rounds + 1
            green.current():throw("thrown by " .. tostring(crew))
          end
        end)
        green.sleep(0)
        return ok, err
      end)
      local ok, err = t:wait(10)
      assert.is_false(ok)
      assert.matches("thrown by", err, 1, true)
      assert.equal(1, rounds)
    end)

    it("is that of its thread, which was killed meanwhile", function()
      local rounds = 0
      local t = green.spawn(function()
        while rounds < 100 do
          local crew <close> = make()
          rounds = rounds + 1
          green.current():kill(crew)
        end
      end)
      local ok, err = t:join(10)
      assert.same({false, "killed", 1}, {ok, green.type(err), rounds})
    end)
  end)
end
