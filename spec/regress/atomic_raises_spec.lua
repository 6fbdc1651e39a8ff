--- After an error in green.atomic, a thread with more than 500 frames was never
--- preempted again.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function deep(n, f)
  if n == 0 then return f() end
  local result = deep(n - 1, f)
  return result
end

--- Computes until the other has had some turns.
local function gives_turns(f)
  local turns, enough = 0, false
  local other <close> = green.spawn(function()
    while true do
      green.sleep(0)
      turns = turns + 1
    end
  end)
  local _ = other
  help.with_config({preempt = 0.002}, function()
    f(function()
      local stop = os.clock() + 20
      repeat enough = turns > 2 until enough or os.clock() > stop
    end)
  end)
  return enough
end

describe("green.atomic", function()
  it("leaves nothing behind when it raises, or is killed", function()
    assert.is_false(pcall(green.atomic, error, "oh"))
    assert.is_true(gives_turns(function(f) deep(600, f) end))
    local t = green.spawn(green.atomic, green.sleep, 60)
    green.sleep(0)
    t:kill()
    t:join()
    local co = coroutine.wrap(function() green.atomic(coroutine.yield) end)
    co()
    co()
    co = coroutine.create(function() green.atomic(coroutine.yield) end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    assert.is_true(gives_turns(function(f) deep(600, f) end))
  end)

  it("returns what f returns, in any way of calling it", function()
    assert.same({1, nil, 3, n = 3},
      table.pack(green.atomic(function(...) return ... end, 1, nil, 3)))
    assert.same({n = 0}, table.pack(green.atomic(function() end)))
    assert.equal(7, coroutine.wrap(green.atomic)(function() return 7 end))
    assert.equal(8, green.spawn(green.atomic, function()
      green.sleep(0)
      return 8
    end):wait())
    assert.equal(200, select("#", green.atomic(table.unpack, {}, 1, 200)))
  end)
end)
