-- gc_bare.lua incremental|generational THREADS - the worst pause, in ms, beside
-- so many bare coroutines that have yielded.
-- SPDX-License-Identifier: MIT
local worst_pause = dofile((arg[0]:gsub("peers/[^/]*$", "pause.lua")))

local list = {}
for i = 1, tonumber(arg[2]) do
  list[i] = coroutine.create(coroutine.yield)
  coroutine.resume(list[i])
end
print(worst_pause(arg[1]) * 1000)
os.exit(#list >= 0, false)
