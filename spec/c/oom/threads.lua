-- Threads, what strikes them, and crews of them: for lua_oom_test.c.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
green.on_error(function() end)
green.config {grace = 0.02}

local function work(n)
  local _ <close> = green.timeout(10)
  green.sleep(0)
  return n, {n}
end

-- Ends, results, errors, links, names.
local ts = {}
for i = 1, 5 do ts[i] = green.spawn(work, i) end
for _, t in ipairs(ts) do t:wait() end
green.spawn(function() error({}) end):join()
green.spawn(function() error("unseen") end)
green.sleep(0)
local sleeper = green.spawn(function()
  local _ <close> = setmetatable({}, {__close = function()
    green.shield(1, green.sleep, 0.0001)
  end})
  string.gsub("x", "x", function() green.sleep(1e9) end)
end)
sleeper:link(function() end)
green.sleep(0)
sleeper:kill("reason")
sleeper:join()
assert(select(2, green.with_timeout(0.0001, green.sleep, 1)))
local thrown = green.spawn(function() return pcall(green.sleep, 1) end)
green.sleep(0)
thrown:throw("t")
thrown:join()
local named = green.spawn(green.sleep, 1e9)
named.name = "n"
green.spawn_after(100, print)
coroutine.wrap(function() green.sleep(0.0001) end)()
green.sleep(0)
assert(named:traceback() .. #green.threads())
pcall(function() green.event():wait(0) end)

-- A thread that only its own stack has a handle of, with a child tied to it.
green.spawn_n(function()
  local me = green.current()
  local tied = green.spawn_after_local(100, print)
  me.name = "alone" .. tied.id
end)
green.sleep(0)

-- Crews.
local pool, spawners = green.pool(1), {}
for i = 1, 3 do
  spawners[i] = green.spawn(function()
    pool:spawn(function() pool:spawn_n(work, i) end)
  end)
end
for _, t in ipairs(spawners) do t:wait() end
assert(pool:wait() and pool:running() == 0)
assert(pool:map(work, {1, 2}).n == 2)
for i in pool:imap_unordered(work, pairs {1, 2, 3}) do
  if i == 2 then break end
end
do
  local pile <close> = green.pile(2)
  pile:spawn(work, 1)
  for i, ok, v in pile:results() do assert(i == 1 and ok and v == 1) end
end
local fine = pcall(function()
  local group <close> = green.group()
  group:spawn(green.sleep, 1e9)
  group:spawn(error, "child", 0)
end)
assert(not fine)
assert(green.wait_all({green.spawn(work, 1)}).n == 1)
for i in green.as_completed {green.spawn(work, 1), green.spawn(work, 2)} do
  if i == 1 then break end
end
return "done"
