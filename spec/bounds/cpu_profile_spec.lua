-- The profile of CPU time, by samples.
--
-- SPDX-License-Identifier: MIT

local cpu = require "green.bounds.cpu"
local green = require "green"

local function spin(n)
  local x = 0
  for i = 1, n do x = x + i end
  return x
end

local function three(n)
  local x = spin(3 * (n or 100000))
  return x
end

local function one(n)
  local x = spin(n or 100000)
  return x
end

--- Runs f under a profile; returns milliseconds by stack, and their sum.
local function profiled(opts, f)
  cpu.begin(opts)
  local ok, err = pcall(f)
  local list = cpu.finish()
  assert(ok, err)
  local sums, total = {}, 0
  for i = 1, #list, 2 do
    assert.is_nil(sums[list[i]])
    sums[list[i]] = list[i + 1] / 1e6
    total = total + list[i + 1] / 1e6
  end
  return sums, total
end

--- The time of the stacks in which the pattern occurs.
local function time_of(sums, pattern)
  local all = 0
  for stack, ms in pairs(sums) do
    if stack:find(pattern) then all = all + ms end
  end
  return all
end

describe("a profile of the CPU", function()
  it("shows two functions that share the time 3 : 1 as 3 : 1", function()
    local function work()
      local stop = os.clock() + 1.5
      local t = green.spawn(function()
        while os.clock() < stop do
          -- No rhythm that the kernel's ticks could fall in with.
          local n = math.random(200000)
          three(n)
          one(n)
          green.sleep(0)
        end
      end)
      t.name = "work;er"
      t:wait()
    end
    -- The bar is 10 %. A sample comes at a tick of the kernel's, 100 to 1,000
    -- times a second, so chance alone is 5 % after 18 s at the worst; most runs
    -- are there after 1.5 s.
    local three_ms, one_ms, all, named, passed = 0, 0, 0, 0, 0
    local ratio
    for _ = 1, 12 do
      local before = os.clock()
      local sums, total = profiled({hz = 1000}, work)
      passed = passed + (os.clock() - before) * 1000
      three_ms = three_ms + time_of(sums, " three;")
      one_ms = one_ms + time_of(sums, " one;")
      named = named + time_of(sums, "^work,er;")
      all = all + total
      ratio = three_ms / one_ms
      if ratio > 2.7 and ratio < 3.3 then break end
    end
    assert.is_true(ratio > 2.7 and ratio < 3.3, tostring(ratio))
    assert.is_true(all > passed * 0.9 and all < passed * 1.1)
    assert.is_true(named > passed * 0.8)
  end)

  it("follows coroutines inside a thread", function()
    local sums = profiled({hz = 1000}, function()
      local stop = os.clock() + 0.1
      local t = green.spawn(function()
        local co = coroutine.wrap(function()
          while os.clock() < stop do one() end
        end)
        co()
      end)
      t:wait()
    end)
    assert.is_true(time_of(sums, "wrap.* one;")
      + time_of(sums, "%[C%].* one;") > 0)
  end)

  it("charges a call of C to its caller", function()
    local sums = profiled({hz = 1000}, function()
      local function repeats()
        local stop = os.clock() + 0.1
        while os.clock() < stop do
          local _ = #("x"):rep(1000000)
        end
      end
      repeats()
    end)
    assert.is_true(time_of(sums, "repeats") > 30)
  end)

  it("takes no sample while nothing runs", function()
    local _, total = profiled({hz = 1000}, function() green.sleep(0.3) end)
    assert.is_true(total < 100)
  end)

  it("names threads by number on demand", function()
    local sums = profiled({hz = 1000, by = "thread"}, function()
      local stop = os.clock() + 0.1
      while os.clock() < stop do one() end
    end)
    local id = green.current().id
    assert.is_true(time_of(sums, "^#" .. id .. " [^;]+;") > 0)
  end)

  it("leaves nothing behind", function()
    profiled({}, function() end)
    assert.same({}, (profiled({}, function() end)))
  end)
end)
