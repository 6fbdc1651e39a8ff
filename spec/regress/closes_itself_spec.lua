-- Lua 5.5 lets a coroutine close itself. The coroutine of a thread that did
-- went to the pool without the guard at its bottom; coroutine.close() was told
-- that nil is no coroutine.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local is_5_4 = _VERSION == "Lua 5.4"

describe("coroutine.close", function()
  it("names the program's line and what it got, as the stock one does",
    function()
      local function message(...)
        local n = debug.getinfo(1, "l").currentline + 1
        local ok, err = pcall(function(...) coroutine.close(...) end, ...)
        assert.is_false(ok)
        assert.matches(("spec.lua:%d: "):format(n), err, 1, true)
        return err
      end
      assert.matches("bad argument #1 to 'close' %(%a+ expected, got table%)",
        message {})
      assert.matches("bad argument #1 to 'close' %(%a+ expected, got nil%)",
        message(nil))
      assert.matches(is_5_4 and "got no value" or "cannot close main thread",
        message())
      local main = coroutine.running()
      assert.matches(is_5_4 and "cannot close a running coroutine"
        or "cannot close main thread", message(main))
    end)
end)

if is_5_4 then return end

local ways = {
  ["without an argument"] = function() coroutine.close() end,
  ["by its name"] = function() coroutine.close(coroutine.running()) end,
  ["below C functions"] = function()
    table.sort({1, 2, 3}, function() coroutine.close() end)
  end,
}

for way, close in pairs(ways) do
  describe("a thread that closes its coroutine " .. way, function()
    help.both(it, "ends as if it had returned nothing", function()
      local closed, reached = 0, false
      local function body()
        local _ <close> = setmetatable({}, {__close = function(_, err)
          assert(err == nil)
          closed = closed + 1
        end})
        pcall(function()
          green.sleep(0)
          close()
        end)
        reached = true
      end
      local t = green.spawn(body)
      assert.same({n = 1, true}, table.pack(t:join()))
      assert.equal("done", t:status())
      assert.matches("closes_itself_spec.lua:%d+$", t.name)
      assert.same({n = 0}, table.pack(t:wait()))
      green.spawn_n(body)
      local linked
      green.spawn(body):link(function(ended) linked = ended:status() end)
      help.wait_until(function() return closed == 3 and linked end)
      assert.equal("done", linked)
      assert.is_false(reached)
    end)

    it("fails with the error of its handler", function()
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          error("oops", 0)
        end})
        close()
      end)
      assert.same({false, "oops"}, {t:join()})
    end)

    it("leaves no coroutine behind without its guard", function()
      for _ = 1, 300 do green.spawn(close):join() end
      -- coroutines that are used again still tell when others close them
      local co
      local t = green.spawn(function()
        co = coroutine.running()
        green.sleep(60)
      end)
      help.blocked(t)
      assert.is_true(coroutine.close(co))
      assert.equal("killed", t:status())
    end)

    -- Not where the handler runs because of an error: then Lua 5.5.1 itself
    -- loses the error.
    it("may do so in a handler", function()
      local t = green.spawn(function()
        local n = 0
        local _ <close> = setmetatable({}, {__close = function() n = n + 1 end})
        local _ <close> = setmetatable({}, {__close = close})
        return n
      end)
      assert.same({n = 1, true}, table.pack(t:join()))
    end)
  end)
end

describe("a coroutine of a thread's own that closes itself", function()
  it("ends alone, and takes its timeouts with it", function()
    local t = green.spawn(function()
      local co = coroutine.wrap(function()
        local _ <close> = green.timeout(60)
        green.sleep(0)
        coroutine.close()
      end)
      assert(select("#", co()) == 0)
      assert(green.deadline() == nil)
      return "and the thread goes on"
    end)
    assert.equal("and the thread goes on", t:wait())
  end)
end)

describe("a finalizer", function()
  it("may not close what runs: Lua would collect no more", function()
    local t = green.spawn(function()
      local ok, err
      setmetatable({}, {__gc = function()
        ok, err = pcall(coroutine.close)
      end})
      collectgarbage()
      return ok, err
    end)
    local ok, err = t:wait()
    assert.is_false(ok)
    assert.equal("cannot close a running coroutine in a finalizer (__gc)", err)
    assert.equal("number", type(collectgarbage "count"))
  end)
end)
