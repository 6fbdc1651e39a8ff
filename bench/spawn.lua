-- spawn.lua spawn_n|spawn|wait - ns to spawn a green thread, run it and end it,
-- in batches of 100; "wait" also waits for the result of each.
-- SPDX-License-Identifier: MIT
local green = require "green"

local batches, batch = 10000, 100
local ran = 0
local function work()
  ran = ran + 1
  return ran
end

local function drop(spawn)
  for _ = 1, batch do spawn(work) end
  green.sleep(0)
end

local list = {}
local function wait()
  local spawn = green.spawn
  for i = 1, batch do list[i] = spawn(work) end
  for i = 1, batch do list[i]:wait() end
end

local start = os.clock()
for _ = 1, batches do
  if arg[1] == "wait" then wait() else drop(green[arg[1]]) end
end
local spent = os.clock() - start
assert(ran == batches * batch)
print(spent / ran * 1e9)
