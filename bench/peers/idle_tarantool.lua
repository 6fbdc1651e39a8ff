-- idle_tarantool.lua THREADS spawn_n - resident bytes per fiber that waits on a
-- condition variable.
-- SPDX-License-Identifier: MIT
local fiber = require "fiber"
local resident = dofile((arg[0]:gsub("peers/[^/]*$", "resident.lua")))

local threads = tonumber(arg[1])
if arg[2] == "spawn_n" then
  local event = fiber.cond()
  collectgarbage()
  local before = resident()
  for _ = 1, threads do fiber.create(function() event:wait() end) end
  collectgarbage()
  print((resident() - before) / threads)
else
  print("-")
end
io.stdout:flush()
os.exit(0)
