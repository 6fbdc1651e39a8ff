-- spawn_cqueues.lua - ns to wrap a function as a thread, run it and end it, in
-- batches of 100.
-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"

if arg[1] ~= "spawn_n" then return print("-") end
local loop = cqueues.new()
local ran = 0
local function work() ran = ran + 1 end

local start = os.clock()
for _ = 1, 3000 do
  for _ = 1, 100 do loop:wrap(work) end
  assert(loop:loop())
end
print((os.clock() - start) / ran * 1e9)
