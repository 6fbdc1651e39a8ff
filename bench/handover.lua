-- handover.lua channel|queue|event - ns per value that goes from one green
-- thread to another: through queue(0), queue(100), or a fresh event each time.
-- SPDX-License-Identifier: MIT
local green = require "green"

local values = 1000000

local function pass(queue)
  local getter = green.spawn(function()
    for _ = 1, values do queue:get() end
  end)
  for i = 1, values do queue:put(i) end
  getter:wait()
end

local function volley()
  local box = {green.event(), green.event()}
  local function player(me, other)
    for i = 1, values // 2 do
      box[me]:wait()
      box[me] = green.event()
      box[other]:send(i)
    end
  end
  local first, second = green.spawn(player, 1, 2), green.spawn(player, 2, 1)
  box[1]:send(0)
  first:wait()
  second:wait()
end

local function timed()
  local start = os.clock()
  if arg[1] == "event" then
    volley()
  else
    pass(green.queue(arg[1] == "queue" and 100 or 0))
  end
  return os.clock() - start
end
-- Not from the main thread: it keeps its stack, what other threads need not.
print(green.spawn(timed):wait() / values * 1e9)
