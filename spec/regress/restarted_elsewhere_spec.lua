-- A timeout that was made outside of a coroutine and restarted in one was freed
-- with the coroutine, while its thread's chain and timers still had it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("A timeout that is restarted in a coroutine", function()
  --- Restarts it there; nothing but the coroutine knows it then.
  local function drop(seconds)
    local to = green.timeout(50)
    to:cancel()
    coroutine.wrap(function()
      to:restart(seconds)
      coroutine.yield()
    end)()
  end

  it("is its thread's, which it strikes though the coroutine is gone",
    function()
      local t = green.spawn(function()
        for _ = 1, 20 do drop(50) end
        drop(0.01)
        collectgarbage()
        collectgarbage()
        for i = 1, 100 do assert(("x"):rep(i)) end
        return pcall(green.sleep, 10)
      end)
      local ok, err = t:wait()
      assert.is_false(ok)
      assert.equal("timeout", green.type(err))
    end)

  it("ends with its thread", function()
    help.leaves_nothing(function()
      local t = green.spawn(function()
        drop(50)
        collectgarbage()
      end)
      t:wait()
    end)
  end)

  it("made in one and restarted outside, strikes the thread", function()
    local t = green.spawn(function()
      local to = coroutine.wrap(function() return green.timeout(50) end)()
      to:cancel()
      to:restart(0.01)
      local ok, err = pcall(green.sleep, 10)
      return not ok and err == to
    end)
    assert.is_true(t:wait())
  end)
end)
