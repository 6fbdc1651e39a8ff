-- switch_tarantool.lua THREADS - ns per fiber.yield().
-- SPDX-License-Identifier: MIT
local fiber = require "fiber"

local threads = tonumber(arg[1])
-- A fiber's guarded stack takes two of the 65,530 maps of a process.
if threads > 30000 then print("-") os.exit(0) end
local rounds = math.max(3, math.floor(1000000 / threads))
local done = false
local timed = fiber.new(function()
  for _ = 1, 2 do fiber.yield() end
  local start = os.clock()
  for _ = 1, rounds do fiber.yield() end
  done = true
  print((os.clock() - start) / (rounds * threads) * 1e9)
end)
timed:set_joinable(true)
for _ = 2, threads do
  fiber.new(function() while not done do fiber.yield() end end)
end
timed:join()
io.stdout:flush()
os.exit(0)
