-- select.lua [selector] waits|ready THINGS - ns per value that green.select, or
-- one green.selector, receives from THINGS queues, each put into one of them at
-- random. "waits": another thread puts, then gives way, and select has to wait
-- every time. "ready": the same thread puts and then selects, which never has
-- to wait. SPDX-License-Identifier: MIT
local green = require "green"

local again = arg[1] == "selector" and table.remove(arg, 1)
local things = tonumber(arg[2])
local values = again and 1000000 or 3000000 // (things + 10)
local queues, picks = {}, {}
for i = 1, things do queues[i] = green.queue() end
math.randomseed(1)
for i = 1, 1024 do picks[i] = math.random(things) end

local function put(i) queues[picks[i % 1024 + 1]]:put(i) end
local selector = again and green.selector(queues)
local function receive()
  local _, value
  if selector then _, value = selector:select()
  else _, value = green.select(queues) end
  return value
end

local modes = {
  waits = function()
    local getter = green.spawn(function()
      local sum = 0
      for _ = 1, values do sum = sum + receive() end
      return sum
    end)
    green.sleep(0)
    for i = 1, values do
      put(i)
      green.sleep(0)
    end
    return getter:wait()
  end,
  ready = function()
    local sum = 0
    for i = 1, values do
      put(i)
      sum = sum + receive()
    end
    return sum
  end,
}

local function timed()
  local start = os.clock()
  assert(modes[arg[1]]() == values * (values + 1) // 2)
  return os.clock() - start
end
print(green.spawn(timed):wait() / values * 1e9)
