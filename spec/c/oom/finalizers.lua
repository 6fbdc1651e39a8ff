-- For lua_oom_test: garbage to which lists in C lead, collected where Lua may
-- not be able to run its finalizers; and afterwards a use of those lists.
local green = require "green"

local queue, event = green.queue(), green.event()

--- Selectors over things that live on.
local function selectors()
  for _ = 1, 3 do
    local s = green.selector {queue, event}
    assert(s:select(0) == nil)
  end
end

--- Scopes that coroutines keep alive.
local function scopes()
  for _ = 1, 3 do
    coroutine.wrap(function()
      local to <close> = green.timeout(0.001)
      coroutine.yield(to)
    end)()
  end
end

--- A socket whose bytes lie in the scratch.
local function holder()
  local near, far = green.socketpair()
  if not near then error(far, 0) end
  assert(near:send "one\ntwo\n")
  assert(far:receive() == "one")
end

--- Another one, which needs it.
local function reader()
  local near <close>, far = green.socketpair()
  if not near then error(far, 0) end
  assert(near:send "three\nfour\n")
  local line, err = far:receive()
  if line ~= "three" then error(err or "another's bytes", 0) end
  assert(far:receive() == "four")
  far:close()
end

--- A stack with little room, which a finalizer must make grow.
local function collect()
  local co = coroutine.create(function(a, b, c, d, e, f)
    local g, h, i, j, k, l = a, b, c, d, e, f
    collectgarbage()
    return g, h, i, j, k, l
  end)
  local ok, err = coroutine.resume(co, 1, 2, 3, 4, 5, 6)
  if not ok then error(err, 0) end
end

local function all()
  selectors()
  scopes()
  holder()
  collect()
  collect()
  reader()
  queue:put(1)
  assert(green.select {queue} == 1)
  green.sleep(0.002)
  green.with_timeout(1, green.sleep, 0)
  holder()
end

for _ = 1, 2 do
  -- A failure leaves garbage, which the next round may find.
  local ok, err = pcall(all)
  collect()
  if not ok then error(err, 0) end
end
