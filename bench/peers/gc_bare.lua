-- gc_bare.lua incremental|generational THREADS - the worst pause, in ms, beside
-- so many bare coroutines that have yielded. They are what the threads of
-- gc.lua are: all made before the first one runs, each two calls deep. The
-- frames, which the collector walks, then lie elsewhere than the stacks;
-- coroutines that run as they are made pause half as long, and so do threads.
-- SPDX-License-Identifier: MIT
local worst_pause = dofile((arg[0]:gsub("peers/[^/]*$", "pause.lua")))

local event = {wait = coroutine.yield}
local list = {}
for i = 1, tonumber(arg[2]) do
  list[i] = coroutine.create(function() event:wait() end)
end
for _, co in ipairs(list) do coroutine.resume(co) end
print(worst_pause(arg[1]) * 1000)
os.exit(#list >= 0, false)
