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

--- Three parts of the time, and one.
local function three(seconds)
  local stop = os.clock() + 3 * seconds
  repeat spin(10000) until os.clock() >= stop
end

local function one(seconds)
  local stop = os.clock() + (seconds or 0.001)
  repeat spin(10000) until os.clock() >= stop
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
    -- A sample comes at a tick of the kernel's, some 250 times a second, and
    -- 70 where the machine is loaded. Parts that are long beside that show
    -- whether the time is charged right, and leave little to chance.
    local function work()
      local t = green.spawn(function()
        for _ = 1, 2 do
          three(0.2)
          one(0.2)
          green.sleep(0)
        end
      end)
      t.name = "work;er"
      t:wait()
    end
    local ratios = {}
    for i = 1, 16 do
      local before = os.clock()
      local sums, total = profiled({hz = 1000}, work)
      local passed = (os.clock() - before) * 1000
      local ratio = time_of(sums, " three;") / time_of(sums, " one;")
      ratios[i] = ("%.2f in %.0f of %.0f ms"):format(ratio, total, passed)
      -- A virtual machine may stand still, for longer than a part takes.
      if ratio > 2.7 and ratio < 3.3 and
        total > passed * 0.9 and total < passed * 1.1 and
        time_of(sums, "^work,er;") > passed * 0.8 then return end
    end
    error("three : one is " .. table.concat(ratios, ", "))
  end)

  it("follows coroutines inside a thread", function()
    local sums = profiled({hz = 1000}, function()
      local stop = os.clock() + 0.4
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
        local stop = os.clock() + 0.4
        while os.clock() < stop do
          local _ = #("x"):rep(1000000)
        end
      end
      repeats()
    end)
    assert.is_true(time_of(sums, "repeats") > 30)
  end)

  it("takes no sample while nothing runs", function()
    local least = math.huge
    for _ = 1, 5 do -- a machine that stands still is taken for one that runs
      local _, total = profiled({hz = 1000}, function() green.sleep(0.3) end)
      least = math.min(least, total)
      if least < 100 then break end
    end
    assert.is_true(least < 100, least)
  end)

  it("names threads by number on demand", function()
    local sums = profiled({hz = 1000, by = "thread"}, function()
      local stop = os.clock() + 0.4
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
