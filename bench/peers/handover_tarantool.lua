-- handover_tarantool.lua channel|queue|event - ns per value: channel(0),
-- channel(100), or condition variables with the value in a shared field.
-- SPDX-License-Identifier: MIT
local fiber = require "fiber"

local values = 500000

local function both(first, second)
  local a, b = fiber.new(first), fiber.new(second)
  a:set_joinable(true)
  b:set_joinable(true)
  a:join()
  b:join()
end

local function pass(channel)
  both(function() for i = 1, values do channel:put(i) end end,
       function() for _ = 1, values do channel:get() end end)
end

local function volley()
  local ready, turn = {fiber.cond(), fiber.cond()}, 1
  local function player(me, other)
    return function()
      for _ = 1, values / 2 do
        while turn ~= me do ready[me]:wait() end
        turn = other
        ready[other]:signal()
      end
    end
  end
  both(player(1, 2), player(2, 1))
end

local start = os.clock()
if arg[1] == "event" then
  volley()
else
  pass(fiber.channel(arg[1] == "queue" and 100 or 0))
end
print((os.clock() - start) / values * 1e9)
io.stdout:flush()
os.exit(0)
