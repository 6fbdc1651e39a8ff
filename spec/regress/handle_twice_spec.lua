-- Making the handle of a thread may run finalizers. If one also asked for the
-- handle, it got another one, and the first to be collected freed the thread's
-- record for both. If one closed the thread's coroutine, the handle then
-- belonged to the next thread.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function nop() end

local at_next = help.at_next

describe("a handle that a finalizer asks for while it is made", function()
  it("is the same", function()
    local kept, me
    green.spawn_n(function()
      at_next(function() kept = green.current() end)
      me = green.current()
      collectgarbage "incremental"
      assert.equal(me, kept)
      me = nil
    end)
    green.sleep(0)
    assert(kept)
    collectgarbage()
    collectgarbage()
    green.spawn_n(green.sleep, 0)
    green.sleep(0)
    assert.equal("done", kept:status())
  end)

  it("is none if the thread is closed there", function()
    local co, id
    green.spawn_n(function()
      co, id = coroutine.running(), green.current().id
      green.sleep(10)
    end)
    green.sleep(0)
    collectgarbage()
    collectgarbage()
    at_next(function() coroutine.close(co) end)
    local t = green.find_thread(id)
    collectgarbage "incremental"
    local other <close> = green.spawn(green.sleep, 10)
    if t then -- the handle was there already
      assert.is_true(t ~= other and t.id ~= other.id)
    end
  end)

  it("does not hide threads from the list of all", function()
    local function waiting(n)
      for _ = 1, n do green.spawn_n(green.sleep, 10) end
    end
    for _ = 1, 20 do green.spawn_n(nop) end -- records to be used again
    waiting(5)
    green.sleep(0)
    collectgarbage()
    collectgarbage()
    at_next(function() waiting(20) end)
    local core = require "green.core"
    local list, n = core.threads(), 0
    collectgarbage "incremental"
    assert.equal(#green.threads(), #list)
    for _, t in ipairs(list) do
      if t:status() == "blocked" then n = n + 1 end
    end
    assert(n >= 5)
    for _, t in ipairs(green.threads()) do
      if t ~= green.current() then t:kill() end
    end
    green.wait_others()
  end)
end)
