-- A thread with fuel burned none in a coroutine that somebody else had made,
-- the program or a script of another sandbox: its own functions, which it
-- passed in there, computed for ever. And a coroutine of its own had no hook
-- any more when another thread had run it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- Calls f in a coroutine, or has it called when one is closed.
local helpers <const> = [[
  wrapped = coroutine.wrap(function(f) f() end)
  created = coroutine.create(function(f) f() end)
  begun = coroutine.wrap(function() (coroutine.yield())() end)
  begun()
  closed = coroutine.create(function()
    local x <close> = setmetatable({}, {__close = function() callback() end})
    coroutine.yield()
  end)
  coroutine.resume(closed)
  failed = coroutine.wrap(function()
    local x <close> = setmetatable({}, {__close = function() callback() end})
    error "x"
  end)
]]

--- Ways to run f there.
local ways <const> = {
  wrapped = "wrapped(f)", begun = "begun(f)",
  created = "coroutine.resume(created, f)",
  closed = "give(f) coroutine.close(closed)",
  failed = "give(f) pcall(failed)",
  ["in one of its own"] = "coroutine.wrap(function() wrapped(f) end)()",
}

--- How often the script calls tick() with fuel. `others` are globals of it.
local function ticks(how, others)
  local n = 0
  local box = green.sandbox {grants = {"coroutine"}, limits = {fuel = 20000},
    globals = {tick = function() n = n + 1 end}}
  for name, value in pairs(others) do box.env[name] = value end
  local _ <close> = setmetatable({}, {__close = function() box:kill() end})
  local t = box:spawn("local function f() while true do tick() end end "
    .. "local ok, err = pcall(function() " .. how .. " end) tick(err)")
  local limit = green.now() + 60
  while t:status() ~= "killed" do
    assert(green.now() < limit and n < 100000, "it goes on")
    green.sleep(0.0002)
  end
  return n
end

--- The coroutines, and the functions that reach `callback` of their globals.
local function made_by_program()
  local env = setmetatable({}, {__index = _G})
  assert(load(helpers, "=helpers", "t", env))()
  env.give = function(f) env.callback = f end
  return env
end

local function made_by_other()
  local box = green.sandbox {grants = {"coroutine"}}
  assert(box:spawn(helpers):join())
  box.env.give = function(f) box.env.callback = f end
  return box.env
end

local function helpers_of(make)
  local env, list = make(), {}
  for _, name in ipairs {"wrapped", "created", "begun", "closed", "failed",
    "give"} do
    list[name] = env[name]
  end
  return list
end

describe("a thread with fuel", function()
  help.configured(setup, teardown, {preempt = 0.002, grace = 0.05})

  for name, how in pairs(ways) do
    it("burns it in coroutines of others: " .. name, function()
      for _, make in ipairs {made_by_program, made_by_other} do
        local n = ticks(how, helpers_of(make))
        assert.is_true(n > 100 and n < 20000, n)
        assert.equal(n, ticks(how, helpers_of(make)))
      end
    end)
  end

  it("burns it in one of its own that others have run", function()
    local there, back = green.queue(), green.queue()
    green.spawn(function()
      coroutine.resume(there:get())
      back:put(true)
    end)
    local n = ticks([[
      local co = coroutine.create(function()
        for _ = 1, 1000 do end
        coroutine.yield()
        while true do tick() end
      end)
      there:put(co)
      back:get()
      coroutine.resume(co)]], {there = there, back = back})
    assert.is_true(n > 100 and n < 20000, n)
  end)

  it("leaves the coroutine to others, who need none", function()
    local env, n = made_by_program(), 0
    ticks("pcall(calls, tick) while true do tick() end",
      {calls = coroutine.wrap(function(f)
        env.back = coroutine.running()
        f()
        coroutine.yield()
        for _ = 1, 100000 do n = n + 1 end
      end)})
    assert.is_true(coroutine.resume(env.back))
    assert.equal(100000, n)
  end)
end)
