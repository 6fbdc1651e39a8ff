-- For lua_oom_test: what is counted, in the state and in a sandbox.
local green = require "green"

green.config {max_items = 50, max_timers = 50, max_descriptors = 50}
local counts = green.stats().counts
local timers, items = counts.timers, counts.items

local function fill(q)
  for i = 1, 20 do q:put(i) end
  assert(#q == 20)
end

local queue = green.queue()
fill(queue)
do fill(green.lifo_queue()) end

local function hold()
  local to <close> = green.timeout(1e6)
  coroutine.wrap(function()
    green.timeout(1e6)
    coroutine.yield()
  end)()
  return to
end
for _ = 1, 3 do hold() end

do
  local box = green.sandbox {grants = {"connect"},
    limits = {items = 9, timers = 9, descriptors = 9}}
  local t = box:spawn [[
    local q, near, far = green.queue(), green.socketpair()
    if not near then error(far, 0) end
    local to <close> = green.timeout(1e6)
    for i = 1, 9 do q:put(i) end
    local ok = pcall(q.put, q, 1)
    assert(not ok)
    near:close()
    return q]]
  local ok, q = t:join()
  if not ok then error(q, 0) end
  assert(#q == 9 and box:stats().timers == 0)

end
queue:clear()
collectgarbage()
collectgarbage()
counts = green.stats().counts
assert(counts.timers == timers and counts.items == items)
