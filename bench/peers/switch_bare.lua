-- switch_bare.lua THREADS - ns per resume and yield of a bare loop in Lua.
-- SPDX-License-Identifier: MIT
local threads = tonumber(arg[1])
local rounds = math.max(3, 3000000 // threads)
local resume, yield = coroutine.resume, coroutine.yield

local list = {}
for i = 1, threads do
  list[i] = coroutine.create(function() while true do yield() end end)
  resume(list[i])
end
local start = os.clock()
for _ = 1, rounds do
  for i = 1, threads do resume(list[i]) end
end
print((os.clock() - start) / (rounds * threads) * 1e9)
