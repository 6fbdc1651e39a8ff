-- A call whose budget was used up let the others run before it waited: a
-- condition missed the signal of a thread that had just been made, and the
-- error of one went to on_error, although its parent joined it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

--- Uses the budget up, but for so many calls; or runs for long enough.
local function spend(left)
  green.sleep(0)
  local q = green.queue()
  for _ = 1, 64 - left do q:put(1) end
  if left == 64 then
    local time = green.now() + 0.02
    while green.now() < time do end
  end
end

describe("with its budget used up, a call sees what comes after it", function()
  local reported
  local former
  before_each(function()
    reported = {}
    former = green.on_error(function(err) reported[#reported + 1] = err end)
  end)
  after_each(function() green.on_error(former) end)

  local function fails() error("seen", 0) end
  local cases = {
    ["condition:wait"] = function()
      local c = green.condition()
      return function()
        green.spawn_n(function() c:signal() end)
        assert.is_true((c:wait(5)))
      end
    end,
    ["thread:join"] = function()
      return function()
        assert.same({false, "seen"}, {green.spawn(fails):join(5)})
      end
    end,
    ["thread:wait"] = function()
      return function()
        assert.same({false, "seen"}, {pcall(function()
          green.spawn(fails):wait(5)
        end)})
      end
    end,
    ["select"] = function()
      return function()
        assert.same({2, false, "seen"},
          {green.select({green.event(), green.spawn(fails)}, 5)})
      end
    end,
    ["wait_all"] = function()
      return function()
        assert.same({false, "seen"},
          {pcall(green.wait_all, {green.spawn(fails)}, 5)})
      end
    end,
  }
  for name, make in pairs(cases) do
    it(name, function()
      for left = 0, 64 do
        if left < 6 or left == 64 then
          local call = make()
          spend(left)
          call()
        end
      end
      green.sleep(0)
      assert.same({}, reported)
    end)
  end
end)
