--- Limits of time, and fuel, for the threads of a sandbox alone.
---
--- SPDX-License-Identifier: MIT

local green = require "green"

--- The threads of others compute meanwhile, and must not be ended.
local function compute(seconds)
  local start = green.now()
  local n = 0
  while green.now() - start < seconds do n = n + 1 end
  return n
end

local function reason(t)
  local ok, err = t:join()
  assert.is_false(ok)
  assert.equal("killed", green.type(err))
  return err.reason
end

describe("the sandbox's limit", function()
  it("stretch ends what computes", function()
    local box = green.sandbox {limits = {stretch = 0.05},
      grants = {"coroutine"}}
    for _, text in ipairs {
      "while true do end",
      "while true do pcall(function() while true do end end) end",
      "coroutine.wrap(function() while true do end end)()",
      "green.spawn(function() while true do end end):join() while true do end",
      "while true do ('a'):rep(2000):find('.-.-.-b') end",
    } do
      assert.equal("it computed for too long", reason(box:spawn(text)))
    end
    assert.equal(0, box:stats().threads)
  end)

  it("stretch is of no matter to others, nor to what waits", function()
    local box = green.sandbox {limits = {stretch = 0.05}}
    local t = box:spawn "green.sleep(0.2) return 'slept'"
    local mine = green.spawn(compute, 0.15)
    assert.is_true(mine:wait() > 0)
    assert.equal("slept", t:wait())
    assert.is_true(compute(0.1) > 0)
  end)

  it("slice lets others run", function()
    local box = green.sandbox {limits = {slice = 0.005}}
    local t = box:spawn "while true do end"
    for _ = 1, 3 do green.sleep(0.001) end
    assert.equal("ready", t:status())
    t:kill()
    assert.is_false((t:join()))
  end)

  it("life ends what is older, whatever it does", function()
    local box = green.sandbox {limits = {life = 0.1, slice = 0.005}}
    local host = green.spawn(green.sleep, 1e6)
    local sleeps = box:spawn "green.sleep(1e6)"
    local waits = box:spawn "while true do pcall(green.sleep, 1e6) end"
    local computes = box:spawn "while true do pcall(green.sleep, 0) end"
    local spawns = box:spawn [[
      return pcall(function() return green.spawn(green.sleep, 1e6):wait() end)
    ]]
    for _, t in ipairs {sleeps, waits, computes, spawns} do
      assert.equal("its life is over", reason(t))
    end
    assert.equal("blocked", host:status())
    local late = box:spawn "green.sleep(1e6)"
    assert.equal("its life is over", reason(late))
    assert.equal("blocked", host:status())
    host:kill()
    while box:stats().threads > 0 do green.sleep(0.01) end
  end)

  it("is of each sandbox by itself", function()
    local short = green.sandbox {limits = {life = 0.05}}
    local long = green.sandbox {limits = {life = 1e6, stretch = 1e6}}
    local none = green.sandbox()
    local a = short:spawn "green.sleep(1e6)"
    local b = long:spawn "green.sleep(1e6)"
    local c = none:spawn "green.sleep(1e6)"
    assert.equal("its life is over", reason(a))
    assert.equal("blocked", b:status())
    assert.equal("blocked", c:status())
    b:kill()
    c:kill()
  end)

  it("goes with the sandbox", function()
    do green.sandbox {limits = {life = 0.05, stretch = 0.05}} end
    collectgarbage()
    collectgarbage()
    assert.is_true(compute(0.1) > 0)
    local t = green.spawn(green.sleep, 0.1)
    assert.is_true((t:join()))
  end)

  it("fuel ends at the same instruction in each run", function()
    local function run()
      local n
      local box = green.sandbox {limits = {fuel = 100000},
        globals = {tell = function(x) n = x end}}
      local t = box:spawn "local n = 0 while true do n = n + 1 tell(n) end"
      assert.equal("out of fuel", reason(t))
      return n
    end
    local n = run()
    assert.is_true(n > 1000)
    assert.equal(n, run())
    assert.equal(7, green.sandbox({limits = {fuel = 1000}})
      :spawn("return 7"):wait())
  end)

  it("must be a number above 0", function()
    for _, name in ipairs {"slice", "stretch", "life", "fuel", "timers",
                           "descriptors", "items"} do
      for _, value in ipairs {0, -1} do
        local ok, err = pcall(green.sandbox, {limits = {[name] = value}})
        assert.is_false(ok)
        assert.matches("'" .. name .. "' must be above 0", err)
      end
      assert.is_false((pcall(green.sandbox, {limits = {[name] = 0/0}})))
      assert(green.sandbox {limits = {[name] = math.huge}})
    end
  end)
end)
