-- A call that took a lap first starts again with its arguments; values of a
-- foreign resume meanwhile counted as more of them: "bad argument #1 to 'get'
-- (number expected, got string)".
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function resumed_in_lap(f)
  return help.with_config({keep_stacks = 0}, function()
    local co
    local t = green.spawn(function()
      co = coroutine.running()
      return f()
    end)
    local u = green.spawn(function()
      while t:status() ~= "done" and t:status() ~= "failed" do
        coroutine.resume(co, "nonsense", "and more")
        green.sleep(0)
      end
    end)
    u:join()
    return t:join()
  end)
end

describe("a call that goes round first keeps its arguments", function()
  local function many(call)
    return function()
      for _ = 1, 500 do call() end
      return "through"
    end
  end

  it("when its thread is resumed by others: put and get", function()
    local q = green.queue()
    assert.same({true, "through"}, {resumed_in_lap(many(function()
      q:put(1)
      q:get()
    end))})
  end)

  it("when its thread is resumed by others: wait and join", function()
    local e = green.event()
    e:send()
    local done = green.spawn(math.abs, 1)
    assert.same({true, "through"}, {resumed_in_lap(many(function()
      e:wait()
      done:join()
      done:wait()
    end))})
  end)

  it("when its thread is resumed by others while it is interrupted", function()
    local q = green.queue()
    local ok, err = resumed_in_lap(function()
      local to = green.timeout(0.001)
      for _ = 1, 3 do pcall(green.sleep, 1) end
      local e
      for _ = 1, 3 do e = select(2, pcall(q.get, q)) end
      to:cancel()
      assert(e == to, e)
      q:put(5)
      return q:get()
    end)
    assert.same({true, 5}, {ok, err})
  end)
end)
