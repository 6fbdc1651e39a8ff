-- Lua calls no handler of <close> where the stack of C is full: locks and
-- permits that were acquired there were held for ever, timeouts and shields
-- stayed in force, and handles, groups, pools and piles left their threads
-- behind.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function by_pcall(n, f)
  if n == 0 then return f() end
  return pcall(by_pcall, n - 1, f)
end

local function by_gsub(n, f)
  if n == 0 then return f() end
  string.gsub("x", "x", function() by_gsub(n - 1, f) end)
end

local function by_wrap(n, f)
  if n == 0 then return f() end
  return coroutine.wrap(by_wrap)(n - 1, f)
end

--- For each way, a function that returns what to do deep down, and one that
--- tells whether all is as before.
local ways = {}

function ways.semaphore()
  local sem = green.semaphore(1)
  return function() local _ <close> = sem:acquire() end,
    function() return sem:count() == 1 end
end

for name, reentrant in pairs {lock = false, ["reentrant lock"] = true} do
  ways[name] = function()
    local lock = green.lock(reentrant)
    return function() local _ <close> = lock:acquire() end,
      function() return lock:owner() == nil end
  end
end

function ways.select()
  local lock = green.lock()
  return function() local _, _ <close> = green.select {lock} end,
    function() return lock:owner() == nil end
end

function ways.selector()
  local lock = green.lock()
  local selector = green.selector {lock}
  return function() local _, _ <close> = selector:select() end,
    function() return lock:owner() == nil end
end

function ways.timeout()
  return function() local _ <close> = green.timeout(1000) end,
    function() return green.deadline() == nil end
end

function ways.with_timeout()
  return function() green.with_timeout(1000, type, 1) end,
    function() return green.deadline() == nil end
end

--- A group that ends by itself waits; the others kill.
function ways.group()
  local child
  return function()
    local g <close> = green.group()
    child = g:spawn(green.sleep)
  end, function() return not child or child:has_ended() end
end

ways["thread's handle"] = function()
  local t
  return function()
    local handle <close> = green.spawn(green.sleep, 1000)
    t = handle
  end, function() return not t or t:has_ended() end
end

for _, name in ipairs {"group", "pool", "pile"} do
  ways[name .. " that an error ends"] = function()
    local child
    return function()
      local crew <close> = green[name](2)
      child = crew:spawn(green.sleep, 1000)
      error "the block"
    end, function() return not child or child:has_ended() end
  end
end

ways["pool's map"] = function()
  local pool, workers = green.pool(2), {}
  local function work(x)
    workers[#workers + 1] = green.current()
    if x == 2 then error "the second" end
    green.sleep(1000)
  end
  return function() pool:map(work, {1, 2, 3}) end, function()
    for _, t in ipairs(workers) do
      if not t:has_ended() then return false end
    end
    return pool:running() == 0 and pool:free() == 2
  end
end

describe("where the stack of C ends nothing is left behind of a", function()
  for name, make in pairs(ways) do
    help.both(it, name, function()
      for _, down in ipairs {by_pcall, by_gsub, by_wrap} do
        for n = 150, 200 do
          local f, is_as_before = make()
          pcall(down, n, f)
          assert.is_true(is_as_before(), ("at depth %d"):format(n))
        end
      end
    end)
  end
end)
