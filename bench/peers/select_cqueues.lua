-- select_cqueues.lua waits THINGS - ns per value received by cqueues.poll over
-- so many condition variables, with the value in a shared field; a condition
-- variable is never ready beforehand.
-- SPDX-License-Identifier: MIT
if arg[1] ~= "waits" then return print("-") end
local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local things = tonumber(arg[2])
local values = 1000000 // (things + 10)
local loop, sum = cqueues.new(), 0
local ready, picks = {}, {}
local taken, box = condition.new(), nil
for i = 1, things do ready[i] = condition.new() end
math.randomseed(1)
for i = 1, 1024 do picks[i] = ready[math.random(things)] end

loop:wrap(function()
  for _ = 1, values do
    while not box do cqueues.poll(table.unpack(ready)) end
    sum, box = sum + box, nil
    taken:signal()
  end
end)
loop:wrap(function()
  for i = 1, values do
    while box do taken:wait() end
    box = i
    picks[i % 1024 + 1]:signal()
  end
end)
local start = os.clock()
assert(loop:loop())
assert(sum == values * (values + 1) // 2)
print((os.clock() - start) / values * 1e9)
