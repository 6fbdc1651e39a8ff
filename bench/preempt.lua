-- preempt.lua WHAT - what ticks cost, by CPU time, and what they are good for:
--
--   armed     speed of 1,000 threads that switch and talk, with preemption and
--             the watchdog on, to that without
--   profiled  the same with a profile at 99 Hz
--   hog       speed of a thread that computes, preempted each 10 ms
--   gap       ms of CPU time between two turns of the others meanwhile
--
-- SPDX-License-Identifier: MIT
local green = require "green"
local what = arg[1]

local function threads()
  local done = 0
  for _ = 1, 100 do
    local q = green.queue(1)
    green.spawn_n(function()
      for i = 1, 200 do q:put(i) green.sleep(0) end
    end)
    green.spawn_n(function()
      for _ = 1, 200 do q:get() end
      done = done + 1
    end)
  end
  while done < 100 do green.sleep(0) end
end

local function compute()
  local x = 0
  for i = 1, 5e6 do x = x + i end
  return x
end

local function time(work)
  local start = os.clock()
  work()
  return os.clock() - start
end

--- The median of many ratios of two runs, one after the other, as machines are
--- noisy. Not the best runs: those would be the ones that met no tick.
local function ratio(work, on, off)
  local ratios = {}
  for i = 1, 301 do
    local without = time(work)
    on()
    ratios[i] = without / time(work)
    off()
  end
  table.sort(ratios)
  return ratios[151]
end

local function preempted() green.config{preempt = 0.01, watchdog = 1} end
local function left_alone() green.config{preempt = false, watchdog = false} end

local function gap()
  local gaps, last = {}, os.clock()
  green.config{preempt = 0.01}
  local hog = green.spawn(function() for _ = 1, 100 do compute() end end)
  while hog:status() ~= "done" do
    green.sleep(0)
    local now = os.clock()
    gaps[#gaps + 1] = (now - last) * 1e3
    last = now
  end
  table.sort(gaps)
  return gaps[#gaps // 2 + 1]
end

if what == "armed" then
  print(ratio(threads, preempted, left_alone))
elseif what == "profiled" then
  local cpu = require "green.bounds.cpu"
  print(ratio(threads, function() cpu.begin {} end, cpu.finish))
elseif what == "hog" then
  print(ratio(compute, preempted, left_alone))
else
  print(gap())
end
