-- pool.lua ITEMS spawn_n|map|imap|imap_unordered - ns per job in a pool of 100;
-- a job gives way once and returns its argument.
-- SPDX-License-Identifier: MIT
local green = require "green"

local items = tonumber(arg[1])
local input = {}
for i = 1, items do input[i] = i end
local ran = 0

local function work(item)
  green.sleep(0)
  ran = ran + 1
  return item
end

local function sum_of(iterator, ...)
  local sum = 0
  for _, ok, value in iterator, ... do
    assert(ok, value)
    sum = sum + value
  end
  return sum
end

local kinds = {
  spawn_n = function(pool)
    for i = 1, items do pool:spawn_n(work, i) end
    pool:wait()
  end,
  map = function(pool) assert(pool:map(work, input)[items] == items) end,
}
for _, kind in ipairs{"imap", "imap_unordered"} do
  kinds[kind] = function(pool)
    local sum = sum_of(pool[kind](pool, work, input))
    assert(sum == items * (items + 1) // 2)
  end
end

local function timed()
  local pool = green.pool(100)
  local start = os.clock()
  kinds[arg[2]](pool)
  return os.clock() - start
end
local spent = green.spawn(timed):wait()
assert(ran == items)
print(spent / items * 1e9)
