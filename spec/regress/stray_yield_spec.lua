-- At a green thread's base a stray coroutine.yield ended the thread past every
-- pcall, and coroutine.isyieldable said true.
--
-- SPDX-License-Identifier: MIT

local saved_yield = coroutine.yield
local green = require "green"
local help = require "spec.help"

local NO_YIELD <const> = "attempt to yield from outside a coroutine"

local function in_thread(f)
  return green.spawn(f):wait()
end

describe("coroutine.yield at a green thread's base", function()
  help.both(it, "is an error that pcall and xpcall catch", function()
    in_thread(function()
      assert.same({false, NO_YIELD}, {pcall(coroutine.yield)})
      assert.same({false, NO_YIELD}, {pcall(saved_yield, 1, 2, 3)})
      assert.same({false, "<" .. NO_YIELD}, {xpcall(coroutine.yield,
        function(err) return "<" .. err end)})
      green.sleep(0)
      assert.same({false, NO_YIELD}, {pcall(function()
        local _ = coroutine.yield()
      end)})
      return true
    end)
  end)

  help.both(it, "names the line of the program", function()
    local text = in_thread(function()
      return (select(2, xpcall(function() coroutine.yield() end,
        debug.traceback)))
    end)
    assert.matches("in %w+ '[%w.]*yield'", text) -- "in field", says 5.5
    assert.matches("stray_yield_spec.lua:%d+: in function", text)
  end)

  help.both(it, "runs <close> handlers with the error", function()
    local with = in_thread(function()
      local with
      pcall(function()
        local _ <close> = setmetatable({}, {__close = function(_, err)
          with = err
        end})
        coroutine.yield()
      end)
      return with
    end)
    assert.equal(NO_YIELD, with)
  end)

  help.both(it, "leaves a hook of the program's where it was", function()
    local n = 0
    in_thread(function()
      debug.sethook(function() n = n + 1 end, "l")
      pcall(coroutine.yield)
      local before = n
      local _ = before
      debug.sethook()
      assert(n > before)
    end)
  end)

  help.both(it, "in a loop starves nobody for long", function()
    local over
    local t = green.spawn(function()
      while not over do
        for _ = 1, 200 do pcall(coroutine.yield) end
        green.sleep(0)
      end
      return "over"
    end)
    green.sleep(0.01)
    over = true
    assert.equal("over", t:wait())
  end)

  help.both(it, "without a pcall fails the thread, as any error", function()
    local t = green.spawn(coroutine.yield, 1)
    assert.same({false, NO_YIELD}, {t:join()})
    assert.equal("failed", t:status())
  end)

  help.both(it, "works in a coroutine of the program's own", function()
    assert.equal(6, in_thread(function()
      local sum = 0
      for i in coroutine.wrap(function()
        for i = 1, 3 do
          green.sleep(0)
          assert(coroutine.isyieldable())
          coroutine.yield(i)
        end
      end) do sum = sum + i end
      return sum
    end))
  end)
end)

describe("coroutine.isyieldable", function()
  help.both(it, "is false at a green thread's base", function()
    assert.is_false(in_thread(coroutine.isyieldable))
    assert.is_false(in_thread(function()
      return coroutine.isyieldable(coroutine.running())
    end))
    local co
    local t = green.spawn(function()
      co = coroutine.running()
      green.sleep(60)
    end)
    help.blocked(t)
    assert.is_false(coroutine.isyieldable(co))
    t:kill()
    t:join()
  end)

  it("says of other coroutines what it always said", function()
    local co = coroutine.create(function() end)
    assert.is_true(coroutine.isyieldable(co))
    assert.is_true(coroutine.wrap(coroutine.isyieldable)())
    local ok, err = pcall(function() coroutine.isyieldable(1) end)
    assert.is_false(ok)
    assert.matches("spec.lua:%d+: bad argument #1 to 'isyieldable'", err)
  end)
end)
