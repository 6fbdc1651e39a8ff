-- timer_luv.lua PENDING - ns to start and stop a libuv timer from Lua.
-- SPDX-License-Identifier: MIT
local uv = require "luv"

local pending, times = tonumber(arg[1]), 1000000
local random = math.random
local function later() return 3600000 + random(3600000) end
local function fire() end
local timers = {}
for i = 1, pending do
  timers[i] = uv.new_timer()
  timers[i]:start(later(), 0, fire)
end
collectgarbage()
local timer = uv.new_timer()
local start = os.clock()
for _ = 1, times do
  timer:start(later(), 0, fire)
  timer:stop()
end
print((os.clock() - start) / times * 1e9)
os.exit(0, false) -- closing a million handles takes long
