-- "set at ?" and "[C]:-1" stood where places of the program should: after tail
-- calls, below C functions, in a thread whose function is one of C's.
--
-- SPDX-License-Identifier: MIT

local core = require "green.core"
local green = require "green"

local function line() return debug.getinfo(2, "l").currentline end

-- A place in this file, at that line.
local function here(at) return "^%S*places_spec.lua:" .. at .. "$" end
local ANY <const> = here "%d+"

describe("a place in the program", function()
  local function setting(f)
    local ok, err = pcall(function()
      local to <close> = f()
      green.sleep(1)
      return to
    end)
    assert.is_false(ok)
    return tostring(err):match "set at (.*)$"
  end

  it("is where a timeout was set by a tail call", function()
    local function tail() return green.timeout(0.001) end
    assert.matches(ANY, setting(tail))
  end)

  it("is where C functions were called that set a timeout", function()
    local at
    local place = setting(function()
      local _, to = pcall(green.timeout, 0.001) at = line()
      return to
    end)
    assert.matches(here(at), place)
    place = setting(function()
      local _, _, to = pcall(pcall, green.timeout, 0.001) at = line()
      return to
    end)
    assert.matches(here(at), place)
    place = setting(function()
      local made
      table.sort({1, 2}, function()
        made = made or green.timeout(0.001) at = line()
        return false
      end)
      return made
    end)
    assert.matches(here(at), place)
  end)

  it("is said to be in a C function where no Lua is", function()
    local co = coroutine.create(green.timeout)
    local ok, to = coroutine.resume(co, 0.001)
    assert.is_true(ok)
    assert.equal("a C function", to.where)
    to:cancel()
  end)

  it("is where a thread was spawned, by a tail call or from C", function()
    local function tail(...) return green.spawn(...) end
    local function name() return (core.spawned_at(tail(green.sleep))) end
    assert.matches(ANY, name())
    local at
    local _, t = pcall(green.spawn, green.sleep) at = line()
    assert.matches(here(at), (core.spawned_at(t)))
    local group <close> = green.group()
    _, t = pcall(group.spawn, group, green.sleep) at = line()
    assert.matches(here(at), (core.spawned_at(t)))
    local pool = green.pool(1)
    local function in_pool() return pool:spawn(green.sleep) end
    t = in_pool()
    assert.matches(ANY, (core.spawned_at(t)))
    t:join()
  end)

  it("is where a thread was killed, by a tail call or from C", function()
    local t = green.spawn(green.sleep, 10)
    green.sleep(0)
    local _, at = pcall(t.kill, t, "why"), line()
    local ok, err = t:join()
    assert.is_false(ok)
    assert.matches(here(at), err.where)
    local function tail(it) return it:kill() end
    t = green.spawn(green.sleep, 10)
    green.sleep(0)
    tail(t)
    assert.matches(ANY, select(2, t:join()).where)
  end)

  it("is where a thread waits below tail calls and C functions", function()
    local e, at = green.event(), line() + 1
    local function wait() pcall(e.wait, e) end
    local function tail() return wait() end
    local t = green.spawn(function() pcall(tail) end)
    green.sleep(0)
    assert.matches(here(at), t:blocked().where)
    e:send()
    t:join()
    t = green.spawn(green.sleep, 10)
    green.sleep(0)
    assert.equal("a C function", t:blocked().where)
    t:kill()
  end)

  it("is a C function for a thread of one", function()
    local t = green.spawn(green.sleep)
    assert.equal("a C function", t.name)
    t:join()
    assert.equal("a C function", t.name)
    t = green.spawn(string.rep, "x", -1, {})
    assert.equal("a C function", t.name)
    t:join()
    assert.equal("a C function", t.name)
  end)

  it("is the chunk where code is stripped", function()
    local code = string.dump(load "return green.timeout(0.001)", true)
    local f = load(code, "=stripped", "b", {green = green})
    local place = setting(function() local to = f() return to end)
    assert.matches(ANY, place)
    local t = green.spawn(load(code, "=stripped", "b", {green = green}))
    t:join()
    assert.is_string((core.spawned_at(t)))
    assert.not_matches("%[C%]", t.name)
  end)

  -- Of the last ended thread's function the place is kept, by its address.
  it("is its own function's for each ended thread", function()
    local function ended(f)
      local t = green.spawn(f)
      t:join()
      return t.name
    end
    local function make(i)
      return load(("\n"):rep(i - 1) .. "return function() end", "=part" .. i)()
    end
    local function address(f) return ("%p"):format(f) end
    for i = 1, 20 do
      local former
      do
        local f = make(i)
        former = address(f)
        for _ = 1, 10 do
          assert.equal(("part%d:%d"):format(i, i), ended(f))
        end
      end
      collectgarbage()
      local others = {} -- the allocator gives one of them the former's memory
      for j = 1, 400 do
        others[j] = make(50)
        if address(others[j]) == former then
          assert.equal("part50:50", ended(others[j]))
        end
      end
    end
    assert.equal("a C function", ended(os.time))
    assert.equal("a C function", ended(green.now or os.clock))
    assert.matches(ANY, ended(function() end))
  end)

  it("is no reason to keep an ended thread's function", function()
    local weak = setmetatable({}, {__mode = "v"})
    local function run()
      local held = {}
      local function f() return #held end
      weak[1] = held
      for _ = 1, 20 do green.spawn(f):join() end
    end
    run()
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)
