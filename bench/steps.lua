-- steps.lua [STEP TIMES] - takes a small step so many times; without arguments,
-- names the steps. bench/instructions counts what they take.
-- SPDX-License-Identifier: MIT
local steps, order = {}, {}

local function step(name, take)
  steps[name], order[#order + 1] = take, name
end

-- Of bare Lua, ten coroutines in turn.
step("resume", function(times)
  local resume, yield, list = coroutine.resume, coroutine.yield, {}
  for i = 1, 10 do
    list[i] = coroutine.create(function() while true do yield() end end)
  end
  for _ = 1, times // 10 do
    for i = 1, 10 do resume(list[i]) end
  end
end)

-- The others know the library, and are taken by a thread.
local function green_step(name, take)
  step(name, function(times)
    local green = require "green"
    green.spawn(take, times, green):wait()
  end)
end

-- The next of ten threads has its turn.
green_step("sleep", function(times, green)
  local sleep, list = green.sleep, {}
  local function work() for _ = 1, times // 10 do sleep(0) end end
  for i = 1, 10 do list[i] = green.spawn(work) end
  for i = 1, 10 do list[i]:wait() end
end)

local function work() end

-- Spawned, run and ended, a hundred at a time.
local function batches(spawn, times, sleep)
  for _ = 1, times // 100 do
    for _ = 1, 100 do spawn(work) end
    sleep(0)
  end
end

green_step("spawn_n", function(times, green)
  batches(green.spawn_n, times, green.sleep)
end)

green_step("spawn", function(times, green)
  batches(green.spawn, times, green.sleep)
end)

green_step("wait", function(times, green)
  local spawn = green.spawn
  for _ = 1, times do spawn(work):wait() end
end)

-- Put and got by the same thread: nobody waits.
green_step("queue", function(times, green)
  local queue = green.queue(10)
  for i = 1, times do
    queue:put(i)
    queue:get()
  end
end)

-- From one thread to another.
green_step("channel", function(times, green)
  local channel = green.queue(0)
  green.spawn_n(function() for i = 1, times do channel:put(i) end end)
  for _ = 1, times do channel:get() end
end)

-- A scope with a time limit is entered and left.
green_step("timeout", function(times, green)
  local timeout = green.timeout
  for _ = 1, times do
    local _ <close> = timeout(3600)
  end
end)

local name, times = arg[1], tonumber(arg[2])
if not name then
  print(table.concat(order, " "))
elseif steps[name] then
  steps[name](times)
else
  io.stderr:write("bench/steps.lua: no step '", name, "'\n")
  os.exit(2)
end
