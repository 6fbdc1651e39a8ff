-- switch_cqueues.lua THREADS - ns per cqueues.sleep(0).
-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"

local threads = tonumber(arg[1])
local rounds = math.max(3, 1000000 // threads)
local loop, sleep, done = cqueues.new(), cqueues.sleep, false

loop:wrap(function()
  for _ = 1, 2 do sleep(0) end
  local start = os.clock()
  for _ = 1, rounds do sleep(0) end
  print((os.clock() - start) / (rounds * threads) * 1e9)
  done = true
end)
for _ = 2, threads do
  loop:wrap(function() while not done do sleep(0) end end)
end
assert(loop:loop())
