-- spawn_bare.lua - ns to create a coroutine, run it and drop it.
-- SPDX-License-Identifier: MIT
local times = 1000000
local ran = 0
local function work() ran = ran + 1 end

local start = os.clock()
for _ = 1, times do coroutine.resume(coroutine.create(work)) end
print((os.clock() - start) / ran * 1e9)
