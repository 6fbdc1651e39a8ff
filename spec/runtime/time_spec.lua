-- Sleeping, and waiting for everybody else.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("sleep", function()
  help.both(it, "never ends early", function()
    for _, s in ipairs {0.0001, 0.001, 0.0015, 0.01} do
      local began = green.now()
      green.sleep(s)
      assert.is_true(green.now() - began >= s)
    end
  end)

  help.both(it, "gives everybody else one turn when it is 0, less, or nothing",
    function()
      for _, s in ipairs {0, -1, -math.huge, "nothing"} do
        local order = {}
        for i = 1, 3 do
          green.spawn(function() order[#order + 1] = i end)
        end
        if s == "nothing" then green.sleep() else green.sleep(s) end
        assert.same({1, 2, 3}, order)
      end
    end)

  it("returns nothing", function()
    assert.equal(0, select("#", green.sleep(0)))
    assert.equal(0, select("#", green.sleep(0.0001)))
  end)

  it("raises on NaN and on what is no number", function()
    assert.is_false(pcall(green.sleep, 0 / 0))
    assert.is_false(pcall(green.sleep, "soon"))
    assert.is_false(pcall(green.sleep, {}))
  end)

  help.both(it, "wakes in the order of the deadlines, equal ones in the order "
    .. "of going to sleep", function()
      local order, ts = {}, {}
      for i = 1, 50 do
        ts[i] = green.spawn(function()
          green.sleep((i % 3) * 0.002 + 0.002)
          order[#order + 1] = i
        end)
      end
      help.ended(table.unpack(ts))
      local place = {}
      for at, i in ipairs(order) do place[i] = at end
      for i = 4, 50 do assert.is_true(place[i - 3] < place[i]) end
    end)

  it("for ever ends only by an interruption", function()
    local t = green.spawn(green.sleep, math.huge)
    help.blocked(t)
    assert.same({nil, "timeout"}, {t:join(0.005)})
    assert.equal("blocked", t:status())
    t:kill()
    t:join()
    assert.equal("killed", t:status())
  end)
end)

describe("wait_others", function()
  it("returns true when the caller is the only live thread", function()
    assert.is_true(green.wait_others())
    local n = 0
    for i = 1, 5 do
      green.spawn_n(function() green.sleep(0.001 * i) n = n + 1 end)
    end
    green.spawn_after(0.01, function() n = n + 1 end)
    assert.same({nil, "timeout"}, {green.wait_others(0)})
    assert.same({nil, "timeout"}, {green.wait_others(0.0001)})
    assert.is_true(green.wait_others())
    assert.equal(6, n)
    assert.is_true(green.wait_others(0))
  end)

  it("waits for those that were spawned meanwhile", function()
    local n = 0
    green.spawn_n(function()
      green.sleep(0)
      n = n + 1
      green.spawn_n(function() green.sleep(0.001) n = n + 1 end)
    end)
    assert.is_true(green.wait_others(60))
    assert.equal(2, n)
  end)
end)
