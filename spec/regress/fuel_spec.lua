-- Fuel was never used up by threads that spawned the next one and ended before
-- their first hundred instructions, nor by <close> handlers after an error. And
-- a thread went on for some instructions when it was: for how many, time
-- decided. And a module that was loaded for the first script burnt some.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

--- How often the script calls tick() with so much fuel, and its threads then.
local function ticks(text, fuel, slice)
  local n = 0
  collectgarbage() -- finalizers of the last run's garbage would burn fuel
  local box = green.sandbox {grants = {"coroutine"},
    limits = {fuel = fuel, threads = 50, slice = slice},
    globals = {tick = function() n = n + 1 end}}
  local _ <close> = setmetatable({}, {__close = function() box:kill() end})
  box:spawn(text)
  local limit = green.now() + 20
  while box:stats().threads > 0 do
    assert(green.now() < limit, "it goes on")
    green.sleep(0.0002)
  end
  return n
end

local FUEL <const> = 30000

--- Each makes at most so many ticks with FUEL: a thread or a coroutine takes
--- 100 instructions, a tick some.
local ways_out <const> = {
  ["threads that spawn the next"] = {300, [[
    local function f() tick() green.spawn(f) end
    f()]]},
  ["threads that spawn the next for later"] = {300, [[
    local function f() tick() green.spawn_after(0, f) end
    f()]]},
  ["links that link"] = {300, [[
    local function f() tick() green.current():link(f) end
    f()]]},
  ["threads of a pool and a group"] = {300, [[
    local p, g = green.pool(3), green.group()
    local function f() tick() p:spawn(f) end
    local function h() tick() g:spawn(h) end
    green.spawn(f)
    h()]]},
  ["coroutines that end soon"] = {300, [[
    while true do coroutine.wrap(function() tick() end)() end]]},
  ["a <close> handler after an error"] = {5000, [[
    local x <close> = setmetatable({}, {__close = function()
      while true do tick() end end})
    error "x"]]},
  ["a link"] = {5000, [[
    green.current():link(function() while true do tick() end end)]]},
}

--- Programs of every kind of call.
local programs <const> = {
  pcall = "while true do pcall(function() tick() error 'x' end) end",
  xpcall = "while true do xpcall(error, function() tick() end) end",
  coroutines = [[
    local function f(n)
      tick()
      if n > 0 then coroutine.wrap(f)(n - 1) end
      for _ = 1, 30 do tick() end
      coroutine.yield()
      tick()
    end
    while true do local co = coroutine.wrap(f) co(9) co() end]],
  metamethods = [[
    local mt = {__index = function() tick() end, __lt = function() tick() end,
      __concat = function() tick() return "" end,
      __close = function() tick() end, __call = tick}
    local t = setmetatable({}, mt)
    while true do
      local x <close> = t
      local y = t.x, t < t, t .. "", t()
    end]],
  callbacks = [[
    while true do
      local t = {3, 1, 4, 1, 5, 9, 2, 6}
      table.sort(t, function(a, b) tick() return a < b end)
      ;("abcabc"):gsub("%w", function() tick() end)
      load(function() tick() end)
    end]],
  threads = [[
    local q = green.queue()
    for i = 1, 5 do green.spawn(function()
      while true do tick() q:put(i) green.sleep(0) end end) end
    while true do if q:get(0) then tick() end green.sleep(0) end]],
  timeouts = [[
    while true do green.with_timeout(1e6, function() tick() end) end]],
}

describe("fuel is used up", function()
  before_each(function() green.on_error(function() end) end)
  after_each(function() green.on_error(nil) end)

  for name, way in pairs(ways_out) do
    it("by " .. name, function()
      local n = ticks(way[2], FUEL)
      assert(n > 0 and n <= way[1], n)
    end)
  end
end)

describe("fuel ends at the same place in each run", function()
  local former
  before_each(function() former = green.config().preempt end)
  after_each(function() green.config {preempt = former} end)

  for name, text in pairs(programs) do
    it("of " .. name, function()
      green.config {preempt = 1000}
      local n = ticks(text, 10 * FUEL)
      assert(n > 1000)
      -- A turn more changes the order of threads, and who has paid for what.
      local slices = {0.0001, 0.001, 1000}
      if name == "threads" then slices = {1000, 1000} end
      for _, slice in ipairs(slices) do
        green.config {preempt = slice}
        assert.equal(n, ticks(text, 10 * FUEL, slice))
      end
    end)
  end
end)

describe("a coroutine whose fuel was another thread's", function()
  it("runs in any thread", function()
    local kept = {}
    for _ = 1, 20 do
      local box = green.sandbox {grants = {"coroutine"},
        limits = {fuel = 10000}}
      kept[#kept + 1] = assert(select(2, box:spawn([[
        return coroutine.wrap(function()
          while true do
            for _ = 1, 1000 do end
            coroutine.yield(true)
          end
        end)]]):join()))
    end
    collectgarbage()
    for _ = 1, 20 do
      assert.is_true((green.spawn(function()
        for _ = 1, 20 do
          for i = 1, #kept do assert(kept[i]()) end
        end
      end):join()))
    end
  end)
end)
