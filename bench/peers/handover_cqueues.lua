-- handover_cqueues.lua event - ns per hand-over by condition variables, with
-- the value in a shared field; cqueues has no queue or channel.
-- SPDX-License-Identifier: MIT
if arg[1] ~= "event" then return print("-") end
local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local values = 300000
local loop, turn, ball = cqueues.new(), 1, nil
local ready = {condition.new(), condition.new()}
local function player(me, other)
  for i = 1, values // 2 do
    while turn ~= me do ready[me]:wait() end
    turn, ball = other, i
    ready[other]:signal()
  end
end
loop:wrap(player, 1, 2)
loop:wrap(player, 2, 1)
local start = os.clock()
assert(loop:loop())
assert(ball == values // 2)
print((os.clock() - start) / values * 1e9)
