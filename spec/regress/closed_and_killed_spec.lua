-- A thread had given its coroutine away, and was killed while a handler of the
-- coroutine's close blocked: its end reset the coroutine once more, under the
-- handler, which then ran on freed memory.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a thread that is killed while others close its coroutine", function()
  it("ends, and leaves the coroutine to them", function()
    for _ = 1, 20 do
      local co, went_on
      local t = green.spawn(function()
        co = coroutine.running()
        local _ <close> = setmetatable({}, {__close = function()
          local function deep(n)
            if n == 0 then return green.sleep(0.001) end
            return (deep(n - 1))
          end
          deep(20)
          went_on = select("#", pcall(error, "x"))
        end})
        green.sleep(1e9)
      end)
      green.sleep(0)
      local closer = green.spawn(function() return coroutine.close(co) end)
      green.sleep(0)
      t:kill("why")
      local ok, err = t:join()
      assert.same({false, "killed"}, {ok, green.type(err)})
      collectgarbage()
      assert.is_true(closer:wait())
      assert.equal(2, went_on)
    end
  end)
end)
