-- timer.lua PENDING - ns to arm and cancel a green.timeout while that many
-- threads sleep.
-- SPDX-License-Identifier: MIT
local green = require "green"

local pending, times = tonumber(arg[1]), 1000000
local timeout, random = green.timeout, math.random
for _ = 1, pending do green.spawn_n(green.sleep, 3600 + random(3600)) end
green.sleep(0)
collectgarbage()

local start = os.clock()
for _ = 1, times do timeout(3600 + random(3600)):cancel() end
print((os.clock() - start) / times * 1e9)
