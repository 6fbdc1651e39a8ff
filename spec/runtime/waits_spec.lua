-- The promises of waits for time and for all others, and of calls that never
-- have to wait. spec/promises.lua has those of waits for a thing.
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("sleep, wait_others and ticker:wait", function()
  local calls = {
    sleep = function(s) return green.sleep(s) end,
    wait_others = function(s) return green.wait_others(s) end,
    ["ticker:wait"] = function(s) return green.ticker(60):wait(s) end,
  }
  for name, call in pairs(calls) do
    help.both(it, "are interrupted by kill, throw and timeout: " .. name,
      function()
        local t = green.spawn(call, 60)
        help.blocked(t)
        t:kill()
        assert.equal("killed", green.type(select(2, t:join())))
        t = green.spawn(call, 60)
        help.blocked(t)
        t:throw("x")
        assert.same({false, "x"}, {t:join()})
        local to <close> = green.timeout(0.001)
        assert.equal(to, select(2, pcall(call, 60)))
      end)

    help.both(it, "end no earlier than told: " .. name, function()
      for _, s in ipairs {1e-9, 0.0005, 0.003} do
        local began = green.now()
        call(s)
        assert.is_true(green.now() - began >= s)
      end
    end)

    if name ~= "sleep" then
      it("with a limit of 0 never switch: " .. name, function()
        local ran = false
        green.spawn(function() ran = true end)
        for _ = 1, 100 do
          local v, err = call(0)
          assert(v == nil and err == "timeout")
        end
        assert.is_false(ran)
        green.sleep(0)
      end)
    end

    it("are refused in a finalizer: " .. name, function()
      local result
      local function garbage()
        setmetatable({}, {__gc = function()
          result = table.pack(pcall(call, 60))
        end})
      end
      local other = green.spawn(green.sleep, 60)
      garbage()
      collectgarbage()
      other:kill()
      other:join()
      assert.is_false(result[1])
      assert.matches("finalizer", result[2])
    end)

    it("work inside table.sort and nested coroutines: " .. name, function()
      coroutine.wrap(function()
        table.sort({1, 2, 3}, function(a, b)
          call(0.0001)
          return a < b
        end)
      end)()
    end)
  end

  it("leave nothing behind", function()
    help.leaves_nothing(function()
      for _, call in pairs(calls) do call(0.0001) end
    end)
  end)
end)

describe("a thread whose calls never have to wait", function()
  help.both(it, "goes round after a number of them", function()
    local q, over, turns = green.queue(1), false, 0
    local busy = green.spawn(function()
      while not over do
        q:put(1)
        q:get()
      end
    end)
    local other = green.spawn(function()
      for _ = 1, 10 do
        turns = turns + 1
        green.sleep(0)
      end
      over = true
    end)
    help.ended(busy, other)
    assert.equal(10, turns)
  end)
end)
