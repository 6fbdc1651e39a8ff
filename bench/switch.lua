-- switch.lua THREADS [KEEP] - ns per switch through the ready queue.
--
-- A listener is open while it is measured: without a descriptor to watch, the
-- polls in between would be free. KEEP is how many stacks may be kept.
-- SPDX-License-Identifier: MIT
local green = require "green"

local threads = tonumber(arg[1])
local rounds = math.max(3, 3000000 // threads)
if arg[2] then green.config{keep_stacks = tonumber(arg[2])} end

local listener <close> = assert(green.listen("127.0.0.1", 0))
green.spawn_n(function() listener:accept() end)

local sleep = green.sleep
local timed = green.spawn(function()
  for _ = 1, 2 do sleep(0) end
  local start = os.clock()
  for _ = 1, rounds do sleep(0) end
  return os.clock() - start
end)
for _ = 2, threads do
  green.spawn_n(function() while true do sleep(0) end end) -- as bare Lua's do
end
print(timed:wait() / (rounds * threads) * 1e9)
os.exit(true, false)
