-- handover.lua KIND - ns per value that goes from one green thread to another:
-- through a channel, a queue of 100, an unbounded one into which 100 go at a
-- time, a lifo queue or a priority queue of 100 (of numbers, or of tables with
-- a function "less"), or through a fresh event each time.
-- SPDX-License-Identifier: MIT
local green = require "green"

local values = 1000000

local function put_all(queue)
  for i = 1, values do queue:put(i) end
end

-- The putter gives way, or there would be a million in the queue.
local function put_in_gusts(queue)
  for _ = 1, values // 100 do
    for i = 1, 100 do queue:put(i) end
    green.sleep(0)
  end
end

math.randomseed(1)
local ranks = {}
for i = 1, 1024 do ranks[i] = math.random(1000000) end

local function put_ranks(queue)
  for i = 1, values do queue:put(ranks[i % 1024 + 1]) end
end

local function put_tables(queue)
  local items = {}
  for i, rank in ipairs(ranks) do items[i] = {rank = rank} end
  for i = 1, values do queue:put(items[i % 1024 + 1]) end
end

local function pass(queue, put)
  local getter = green.spawn(function()
    for _ = 1, values do queue:get() end
  end)
  put(queue)
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

local kinds = {
  channel = function() pass(green.queue(0), put_all) end,
  queue = function() pass(green.queue(100), put_all) end,
  unbounded = function() pass(green.queue(), put_in_gusts) end,
  lifo = function() pass(green.lifo_queue(100), put_all) end,
  priority = function() pass(green.priority_queue(100), put_ranks) end,
  less = function()
    local function less(a, b) return a.rank < b.rank end
    pass(green.priority_queue(100, less), put_tables)
  end,
  event = volley,
}

local function timed()
  local start = os.clock()
  kinds[arg[1]]()
  return os.clock() - start
end
-- Not from the main thread: it keeps its stack, which other threads need not.
print(green.spawn(timed):wait() / values * 1e9)
