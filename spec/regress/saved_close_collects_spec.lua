-- A program that saved coroutine.running and coroutine.close before luagreen
-- was loaded closed a parked thread whose <close> handler collected garbage: it
-- freed the object in whose list the thread stood.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local script = [[
local running, close = coroutine.running, coroutine.close
local green = require "green"
green.config {keep_stacks = 0}

local function collect()
  collectgarbage()
  local t = {}
  for i = 1, 200 do t[i] = green.queue() end
  for i = 201, 400 do t[i] = ("x"):rep(i) end
end

local function listener() return assert(green.listen("127.0.0.1", 0)) end
local peers = {}
local function connected()
  local l <close> = listener()
  local host, port = l:getsockname()
  local c = assert(green.connect(host, port))
  peers[#peers + 1] = assert(l:accept())
  return c
end

local waits = {
  event = function() green.event():wait() end,
  limit = function() green.event():wait(100) end,
  queue = function() green.queue():get() end,
  put = function() green.channel():put({}) end,
  priority = function() green.priority_queue():get() end,
  select = function() green.select {green.event(), green.queue()} end,
  select_put = function()
    green.select {{green.channel(), "put", {}}, green.semaphore(0)}
  end,
  selector = function()
    green.selector {green.event(), green.queue()}:select()
  end,
  semaphore = function() green.semaphore(0):acquire() end,
  flag = function() green.flag():wait() end,
  waitgroup = function() green.waitgroup(1):wait() end,
  ticker = function() green.ticker(1000):wait() end,
  condition = function()
    local lock = green.lock()
    lock:acquire()
    green.condition(lock):wait()
  end,
  lock = function()
    local lock = green.lock()
    green.spawn(function() lock:acquire() green.sleep(100) end)
    green.sleep(0)
    lock:acquire()
  end,
  join = function() green.spawn(green.sleep, 100):join() end,
  sleep = function() green.sleep(100) end,
  accept = function() listener():accept() end,
  receive = function() connected():receive(10) end,
  recv = function() connected():recv(10) end,
  send = function() connected():send(("x"):rep(1 << 24)) end,
  turn = function()
    local c = connected()
    green.spawn(function() c:send(("x"):rep(1 << 24)) end)
    green.sleep(0)
    c:send("x")
  end,
  spawn_first = function()
    local e = green.event()
    green.spawn(function() e:wait() end)
    green.sleep(0)
    e:wait()
  end,
  map = function() green.pool(2):map(green.sleep, {100, 100, 100}) end,
  group = function()
    local g <close> = green.group()
    g:spawn(green.sleep, 0.1)
    g:wait()
  end,
}

--- What a thread may wait in on its way to the wait that is tried.
local on_the_way = {sleep = true, connect = true, accept = true}

local function run(name, wait, handler)
  local co
  local t = green.spawn(function()
    local _ <close> = setmetatable({}, {__close = handler})
    co = running()
    wait()
  end)
  repeat
    green.sleep(0.002)
    assert(t:status() ~= "failed", name)
    local what = t:blocked() and t:blocked().what:match "[^:]*$"
  until what and (name == what or not on_the_way[what])
  local ok, err = close(co)
  assert(ok, name .. ": " .. tostring(err))
  assert(t:status() == "killed", name .. ": " .. t:status())
  local joined, killed = t:join()
  assert(not joined and killed.reason == "closed by foreign code",
    name .. ": " .. tostring(killed))
  collect()
end

for name, wait in pairs(waits) do
  run(name, wait, collect)
  run(name, wait, function() -- others run while the handler blocks
    collect()
    green.sleep(0.001)
    collect()
  end)
  local woken
  run(name, wait, function() woken = true collect() end)
  assert(woken)
end
for _, t in ipairs(green.threads()) do
  if t ~= green.current() then t:kill() end
end
green.wait_others()
io.write("fine")
]]

describe("a parked thread that a saved coroutine.close closes", function()
  it("waits no more when its <close> handlers run, whatever it waits in",
    function()
      local name = os.tmpname()
      local f <close> = assert(io.open(name, "w"))
      f:write(script)
      f:close()
      local out <close> = assert(io.popen(help.lua .. " " .. name
        .. " 2>&1"))
      local text = out:read("a")
      os.remove(name)
      assert.equal("fine", text)
    end)
end)
