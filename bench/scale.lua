-- scale.lua switch|spawn|timer|queue|wait BYSTANDERS - ns for one operation
-- while BYSTANDERS other green threads wait, each with a time limit of its own.
-- SPDX-License-Identifier: MIT
local green = require "green"

local operation, bystanders = arg[1], tonumber(arg[2])
local times = 500000
local event = green.event()

local function many(threads, f)
  local list = {}
  for i = 1, threads do list[i] = green.spawn(f) end
  for i = 1, threads do list[i]:wait() end
end

local operations = {
  switch = function()
    many(10, function() for _ = 1, times // 10 do green.sleep(0) end end)
  end,
  spawn = function()
    for _ = 1, times // 100 do
      for _ = 1, 100 do green.spawn_n(math.abs, 1) end
      green.sleep(0)
    end
  end,
  timer = function()
    for i = 1, times do green.timeout(1800 + i % 3600):cancel() end
  end,
  queue = function()
    local queue = green.queue(100)
    green.spawn_n(function() for i = 1, times do queue:put(i) end end)
    for _ = 1, times do queue:get() end
  end,
  -- A wait with a limit that is never reached: heap in, heap out.
  wait = function()
    local ball = {green.queue(), green.queue()}
    local function player(me, other)
      for i = 1, times // 2 do
        ball[me]:get(1800)
        ball[other]:put(i)
      end
    end
    ball[1]:put(0)
    local first = green.spawn(player, 1, 2)
    green.spawn(player, 2, 1):wait()
    first:wait()
  end,
}

for i = 1, bystanders do
  green.spawn_n(function() event:wait(3600 + i % 3600) end)
end
green.sleep(0)
collectgarbage()
print(green.spawn(function()
  local start = os.clock()
  operations[operation]()
  return os.clock() - start
end):wait() / times * 1e9)
event:send()
