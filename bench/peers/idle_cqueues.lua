-- idle_cqueues.lua THREADS spawn_n - resident bytes per thread that waits on a
-- condition.
-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local resident = dofile((arg[0]:gsub("peers/[^/]*$", "resident.lua")))

local threads = tonumber(arg[1])
if arg[2] ~= "spawn_n" then return print("-") end
local loop, event = cqueues.new(), condition.new()
collectgarbage()
local before = resident()
for _ = 1, threads do loop:wrap(function() event:wait() end) end
assert(loop:step(0))
collectgarbage()
print((resident() - before) / threads)
os.exit(0, false)
