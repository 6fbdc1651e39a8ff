-- The guarded require: one thread loads a module, the others wait for it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local stock = require
local captured = green.monkey_patch {require = true}

--- Modules by name, as text; gone at the end of the block.
local function modules(texts)
  local former = package.searchers[2]
  table.insert(package.searchers, 2, function(name)
    if not texts[name] then return "no text '" .. name .. "'" end
    return assert(load(texts[name], "=" .. name)), "text of " .. name
  end)
  return setmetatable({}, {__close = function()
    table.remove(package.searchers, 2)
    assert(package.searchers[2] == former)
    for name in pairs(texts) do package.loaded[name] = nil end
  end})
end

local SLOW <const> = [[
  local green = require "green"
  LOADS = (LOADS or 0) + 1
  green.sleep(0.005)
  return {name = ..., loads = LOADS}
]]

before_each(function() _G.LOADS = nil end)

describe("green.monkey_patch", function()
  it("returns what it replaced, every time", function()
    assert.equal(stock, captured.require)
    assert.are_not.equal(stock, require)
    local now = require
    assert.equal(stock, green.monkey_patch {require = true}.require)
    assert.same({}, green.monkey_patch {require = false})
    assert.equal(now, require)
  end)

  it("tells what is patched", function()
    assert.is_true(green.is_patched "require")
    assert.is_false(green.is_patched "nothing")
    assert.error_matches(function() green.is_patched() end,
      "bad argument #1 to 'is_patched'")
  end)

  it("raises for a name that it does not know, naming it", function()
    assert.error_matches(function() green.monkey_patch {sockets = true} end,
      "unknown name 'sockets' in 'monkey_patch'")
    assert.error_matches(function() green.monkey_patch {require = 1} end,
      "bad value for 'require' in 'monkey_patch' %(boolean expected")
    assert.error_matches(function() green.monkey_patch("require") end,
      "bad argument #1 to 'monkey_patch' %(table expected")
  end)

  it("is on in bin/luagreen, and only on demand elsewhere", function()
    local script <close> = help.file [[
      print(require "green".is_patched "require")
    ]]
    for program, expected in pairs {["bin/luagreen"] = "true\n",
      [help.lua] = "false\n"} do
      local p <close> = io.popen(program .. " " .. script.path)
      assert.equal(expected, p:read "a")
    end
  end)
end)

describe("require", function()
  it("without the guard loads a module twice that blocks", function()
    local _ <close> = modules {slow = SLOW}
    local a = green.spawn(function() return (stock "slow") end)
    local b = green.spawn(function() return (stock "slow") end)
    help.ended(a, b)
    assert.equal(2, _G.LOADS)
  end)

  help.both(it, "makes others wait for a module that is being loaded",
    function()
      local _ <close> = modules {slow = SLOW}
      local list = {}
      for i = 1, 5 do
        list[i] = green.spawn(function()
          return table.pack(require "slow")
        end)
      end
      local first = list[1]:wait()
      assert.equal("text of slow", first[2])
      for i = 2, 5 do
        local result = list[i]:wait()
        assert.equal(first[1], result[1])
        assert.equal(1, result.n)
      end
      assert.equal(1, _G.LOADS)
      assert.same({n = 1, first[1]}, table.pack(require "slow"))
    end)

  it("waits even for one that has already put itself in package.loaded",
    function()
      local _ <close> = modules {early = [[
        local M = {}
        package.loaded[...] = M
        require "green".sleep(0.002)
        M.complete = true
      ]]}
      local a = green.spawn(require, "early")
      help.blocked(a)
      assert.is_true(require "early".complete)
      a:wait()
    end)

  help.both(it, "lets waiters try themselves when the load failed", function()
    local _ <close> = modules {bad = [[
      LOADS = (LOADS or 0) + 1
      require "green".sleep(0.001)
      if LOADS < 3 then error("load " .. LOADS, 0) end
      return "third"
    ]]}
    local list = {}
    for i = 1, 4 do
      list[i] = green.spawn(function() return (require "bad") end)
    end
    local results = {}
    for i = 1, 4 do results[i] = {list[i]:join()} end
    assert.same({{false, "load 1"}, {false, "load 2"}, {true, "third"},
      {true, "third"}}, results)
  end)

  help.both(it, "goes on in the next waiter when the loader is killed",
    function()
      local _ <close> = modules {slow = SLOW}
      local function load_it() return (require "slow") end
      local a = help.blocked(green.spawn(load_it))
      local b = help.blocked(green.spawn(load_it))
      a:kill()
      assert.is_false((a:join()))
      assert.equal(2, b:wait().loads)
    end)

  help.both(it, "may be interrupted while it waits, and harms nobody",
    function()
      local _ <close> = modules {slow = SLOW}
      local a = green.spawn(function() return (require "slow") end)
      local b = green.spawn(function() return (require "slow") end)
      local c = green.spawn(function()
        return green.with_timeout(0.001, require, "slow")
      end)
      help.blocked(a, b, c)
      b:kill()
      assert.is_false((b:join()))
      assert.same({true, nil, "timeout"}, {c:join()})
      assert.equal(1, a:wait().loads)
    end)

  it("goes on after a loader that had to be forced", function()
    local _ <close> = modules {hog = [[
      local green = require "green"
      LOADS = (LOADS or 0) + 1
      if LOADS > 1 then return "fine" end
      while true do pcall(green.sleep, 60) end
    ]]}
    help.with_config({grace = 0.02}, function()
      local a = help.blocked(green.spawn(require, "hog"))
      local b = help.blocked(green.spawn(require, "hog"))
      a:kill()
      assert.is_false((a:join()))
      assert.equal("fine", (b:wait()))
    end)
  end)

  it("in a coroutine of a thread is the same", function()
    local _ <close> = modules {slow = SLOW, yields = "coroutine.yield()"}
    local a = green.spawn(function()
      return coroutine.wrap(function() return (require "slow") end)()
    end)
    local b = green.spawn(function()
      return coroutine.wrap(function() return (require "slow") end)()
    end)
    assert.equal(a:wait(), b:wait())
    assert.equal(1, _G.LOADS)
    local ok, err = pcall(coroutine.wrap(function() require "yields" end))
    assert.is_false(ok)
    assert.matches("attempt to yield across a C%-call boundary", err)
  end)

  it("names the cycle of modules of one thread", function()
    local _ <close> = modules {a = "local x = require 'b' return x",
      b = "local x = require 'c' return x",
      c = "local x = require 'a' return x"}
    local ok, err = pcall(require, "a")
    assert.is_false(ok)
    assert.matches("^c:1: modules that require each other: 'a' %(#%d+ [^)]*%)"
      .. " %-> 'b' %(#%d+ .*%) %-> 'c' %(#%d+ .*%) %-> 'a'$", err)
    -- and everything is as before
    _G.LOADS = 0
    local _ <close> = modules {d = "LOADS = LOADS + 1"}
    assert.is_true((require "d"))
    assert.equal(1, _G.LOADS)
  end)

  it("names the cycle of modules and threads", function()
    local _ <close> = modules {
      x = "require 'green'.sleep(0.001) local y = require 'y' return y",
      y = "require 'green'.sleep(0.001) local x = require 'x' return x",
    }
    local a = green.spawn(function() return (require "x") end)
    local b = green.spawn(function() return (require "y") end)
    a.name, b.name = "first", "second"
    help.collecting(function()
      local _, err = b:join()
      assert.matches(("^y:1: modules that require each other: 'x' (#%d first)"
        .. " -> 'y' (#%d second) -> 'x'$"):format(a.id, b.id)
        :gsub("[()%-]", "%%%0"), err)
      assert.is_false((a:join()))
    end)
  end)

  it("leaves modules alone that know each other in package.loaded", function()
    local _ <close> = modules {
      x = [[local M = {} package.loaded.x = M
        require "green".sleep(0.001) M.y = require "y" return M]],
      y = [[local M = {} package.loaded.y = M
        require "green".sleep(0.001) M.x = require "x" return M]],
    }
    local a = green.spawn(function() return (require "x") end)
    local b = green.spawn(function() return (require "y") end)
    assert.equal(a:wait(), b:wait().x)
    assert.equal(a:wait().y, b:wait())
  end)

  it("shows who loads what somebody waits for", function()
    local _ <close> = modules {never = "require 'green'.event():wait()"}
    local a = help.blocked(green.spawn(require, "never"))
    local b = help.blocked(green.spawn(require, "never"))
    a.name = "loader"
    local text = {}
    green.dump {write = function(_, s) text[1] = s end}
    assert.matches("require of 'never' by #" .. a.id .. " loader", text[1], 1,
      true)
    a:kill()
    b:kill()
    help.ended(a, b)
  end)

  it("says and returns otherwise what the stock one does", function()
    local texts <close> = modules {
      pos = "error 'with position'", second = "error('second', 2)",
      object = "error {}", none = "return nil", no = "return false",
    }
    assert.is_table(texts)
    local function outcome(f)
      local guarded, list = require, {}
      _G.require = f -- errors tell the name by which it is found
      local function note(...)
        local values = table.pack(...)
        for i = 1, values.n do
          values[i] = type(values[i]) == "table" and "table" or values[i]
        end
        list[#list + 1] = values
      end
      for _, name in ipairs {"pos", "second", "object", "nosuch.module"} do
        note(pcall(f, name))
        note(pcall(function() local x = f(name) return x end))
      end
      for _, name in ipairs {"none", "no"} do
        note(f(name))
        note(f(name))
        package.loaded[name] = nil
      end
      note(pcall(f))
      note(pcall(f, {}))
      note(pcall(f, 12))
      package.preload.pre = function(...) return table.pack(...) end
      note(f "pre")
      note(f "pre")
      package.preload.pre, package.loaded.pre = nil, nil
      local searchers = package.searchers
      package.searchers = nil
      note(pcall(function() local x = f "pos" return x end))
      package.searchers = searchers
      _G.require = guarded
      return list
    end
    assert.same(outcome(stock), outcome(require))
  end)
end)
