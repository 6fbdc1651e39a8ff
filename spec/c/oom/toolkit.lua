-- Threads that use each other, for lua_oom_test.c.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local dag = require "green.dag"
green.on_error(function() end)
green.config {grace = 0.02}

-- Queues and events.
local q, e = green.queue(1), green.event()
green.spawn_n(function()
  for i = 1, 3 do q:put({i}) end
  q:close()
end)
for v in q:items() do assert(v[1]) end
green.spawn_n(function()
  green.sleep(0.0001)
  e:send("x", "y")
end)
e:wait(1)
local c, lifo, first = green.channel(), green.lifo_queue(),
  green.priority_queue(nil, function(a, b) return a[1] < b[1] end)
green.spawn_n(function() c:put("c") end)
assert(c:get() == "c")
for i = 1, 5 do
  lifo:put(i)
  first:put({-i})
end
assert(lifo:get() == 5 and first:get()[1] == -5 and first:peek()[1] == -4)
first:resize(9)
first:clear()
for _ = 1, 4 do lifo:get() end
for _ = 1, 5 do lifo:task_done() end
lifo:join()

-- Synchronisation.
local s, l = green.semaphore(1), green.lock()
do local _ <close> = s:acquire() end
green.spawn_n(function()
  l:acquire()
  green.sleep(0)
end)
green.sleep(0)
green.spawn(function() return l:acquire() end):join()
assert(not l:owner())
local flag, cond, wg = green.flag(), green.condition(), green.waitgroup(1)
local waiters = {}
for i, object in ipairs {flag, cond, wg} do
  waiters[i] = green.spawn(function() return object:wait(10) end)
end
green.sleep(0)
flag:set()
cond:broadcast()
wg:done()
assert(green.wait_all(waiters).n == 3)

-- Waiting for many.
for i = 1, 10 do
  local one, two = green.channel(), green.channel()
  local t = green.spawn(green.select, {{one, "put", i}, {two, "put", i}})
  green.sleep(0)
  collectgarbage() -- with the select, if it failed
  assert(one:get(1) == i)
  t:wait()
end
local ticker = green.ticker(0.0001)
local none = {green.event(), ticker, {green.channel(), "put", 1}}
local class = setmetatable({}, {__waitable = function() return e end})
assert(green.select(none) == 2)
ticker:close()
assert(green.select {none[1], class} == 2)
assert(select(2, green.select({none[1], green.lock()}, 0)))

-- Leases.
local rp = green.resource_pool {max = 1, create = function() return {} end}
local waiter = green.spawn(function()
  local _ <close> = assert(rp:lease())
end)
do
  local lease <close>, item = rp:lease()
  assert(lease and item)
  green.sleep(0)
  lease:discard()
end
waiter:wait()
rp:close()

-- A graph, single flight, locals, output, a dump.
local graph = dag {a = 1}
graph:spawn("b", {"a"}, function(_, results) return results:wait().a end)
graph:spawn("c", {"b"}, error)
assert(graph:wait {"b"}.b == 1)
for key, ok in graph:wait_each {"a", "c"} do assert(key == "a" or not ok) end
local twice = green.single_flight(function(n) green.sleep(0) return n * 2 end)
green.spawn_n(twice, 2)
assert(twice(2) == 4)
local mine = green.locals(true)
mine.x = 1
green.spawn(function() assert(mine.x == 1) end):wait()
green.spawn(function()
  local text = {}
  green.output(function(s1) text[#text + 1] = s1 end)
  print(green.current())
  assert(#text > 0)
end):wait()
local file <close> = assert(io.open("/dev/null", "w"))
assert(green.dump(file))
return "done"
