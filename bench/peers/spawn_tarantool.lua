-- spawn_tarantool.lua spawn_n|spawn|wait - ns to make a fiber, to run and to
-- end it, in batches of 100; "wait" also joins each.
-- SPDX-License-Identifier: MIT
local fiber = require "fiber"

local ran, joined = 0, arg[1] == "wait"
local list = {}
local function work() ran = ran + 1 end

local start = os.clock()
for _ = 1, 3000 do
  for i = 1, 100 do
    list[i] = fiber.new(work)
    if joined then list[i]:set_joinable(true) end
  end
  fiber.yield()
  if joined then for i = 1, 100 do list[i]:join() end end
end
print((os.clock() - start) / ran * 1e9)
io.stdout:flush()
os.exit(0)
