-- pause.lua - a function: the worst time, in seconds, that making 1 KB took,
-- over five turns of the collector and at least a second, at most 10. CPU time,
-- so that another process on this core does not count as a pause.
-- SPDX-License-Identifier: MIT
-- Pieces that live on for a while. Ten times as many, and the worst would be
-- malloc giving 10 MB back to the kernel.
local ring = 1000

return function(mode)
  local turns = 0
  local function watch()
    setmetatable({}, {__gc = function() turns = turns + 1 watch() end})
  end
  collectgarbage()
  collectgarbage(mode)
  watch()
  local clock, rep, worst, made = os.clock, string.rep, 0, 0
  local begun, pieces = clock(), {}
  local now = begun
  repeat
    local before = now
    made = made + 1
    pieces[made % ring] = rep("x", 1000)
    now = clock()
    if now - before > worst then worst = now - before end
  until turns >= 5 and now - begun > 1 or now - begun > 10
  assert(#pieces > 0)
  return worst
end
