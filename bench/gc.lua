-- gc.lua incremental|generational THREADS - the worst pause, in ms, that a
-- program which makes garbage sees while that many green threads wait.
-- SPDX-License-Identifier: MIT
local green = require "green"
local worst_pause = dofile((arg[0]:gsub("[^/]*$", "pause.lua")))

local event = green.event()
for _ = 1, tonumber(arg[2]) do
  green.spawn_n(function() event:wait() end)
end
green.sleep(0)
print(worst_pause(arg[1]) * 1000)
event:send()
