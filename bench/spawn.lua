-- spawn.lua spawn_n|spawn - ns to spawn a green thread, run it and end it, in
-- batches of 100.
-- SPDX-License-Identifier: MIT
local green = require "green"

local spawn = green[arg[1]]
local batches, batch = 10000, 100
local ran = 0
local function work() ran = ran + 1 end

local start = os.clock()
for _ = 1, batches do
  for _ = 1, batch do spawn(work) end
  green.sleep(0)
end
local spent = os.clock() - start
assert(ran == batches * batch)
print(spent / ran * 1e9)
