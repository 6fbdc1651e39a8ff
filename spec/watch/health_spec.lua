--- green.health: checks under limits, shared by all who ask.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local once = it -- what a seed after the other would repeat
local it = require "green.test".it(it)

local health = green.health

--- Checks for the time of a test.
local function with(checks, f)
  for name, check in pairs(checks) do
    health.check(name, check[1], check[2])
  end
  local ok, err = pcall(f)
  for name in pairs(checks) do health.check(name, nil) end
  if not ok then error(err, 0) end
end

describe("green.health", function()
  it("is well as long as every check is", function()
    assert.is_true((health.run()))
    with({a = {function() return true end},
      b = {function() green.sleep(0.1) return true end}}, function()
      local ok, results = health.run()
      assert.is_true(ok)
      assert.is_true(results.a.ok and results.b.ok)
      assert.is_true(results.b.seconds >= 0.1 and results.b.seconds < 0.2)
    end)
  end)

  it("says what is not, and why", function()
    with({well = {function() return true end},
      reason = {function() return nil, "no disk" end},
      bare = {function() return false end},
      raises = {function() error("oh", 0) end},
      hangs = {function() green.sleep(60) end, 0.2}}, function()
      local ok, results = health.run()
      assert.is_false(ok)
      local whys = {}
      for name, result in pairs(results) do
        whys[name] = result.ok or result.why
      end
      assert.same({well = true, reason = "no disk", bare = "failed",
        raises = "oh", hangs = "timeout"}, whys)
      local _, text = health.text()
      assert.matches("hangs: timeout %(0%.2%d%d s%)\n", text)
      assert.matches("failed\n$", text)
    end)
  end)

  it("runs checks side by side", function()
    local checks = {}
    for i = 1, 10 do
      checks["c" .. i] = {function() green.sleep(0.5) return true end}
    end
    with(checks, function()
      local from = green.now()
      assert.is_true((health.run()))
      assert.is_true(green.now() - from < 0.7)
    end)
  end)

  it("runs once for all who ask, and at most once a second", function()
    local runs = 0
    with({slow = {function()
      runs = runs + 1
      green.sleep(0.5)
      return true
    end}}, function()
      local askers = {}
      for i = 1, 20 do askers[i] = green.spawn(health.run) end
      for _, t in ipairs(askers) do assert.is_true((t:wait())) end
      assert.is_true((health.run()))
      assert.equal(1, runs)
      green.sleep(1.1)
      health.run()
      assert.equal(2, runs)
    end)
  end)

  it("goes on for the others when one who asks is killed", function()
    with({slow = {function() green.sleep(0.5) return true end}}, function()
      local first = green.spawn(health.run)
      green.sleep(0)
      local second = green.spawn(health.run)
      green.sleep(0)
      first:kill()
      assert.is_true((second:wait()))
    end)
  end)

  it("refuses what makes no sense", function()
    assert.has_error(function() health.check(1, print) end)
    assert.has_error(function() health.check("a", 1) end)
    assert.has_error(function() health.check("a", print, "x") end)
  end)

  once("says no from the moment when the program begins to stop", function()
    assert.is_true((health.run()))
    health.stop()
    local ok, results = health.run()
    assert.is_false(ok)
    assert.equal("the program ends", results.stopping.why)
  end)
end)
