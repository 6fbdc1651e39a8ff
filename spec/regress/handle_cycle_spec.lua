-- An object that kept the handle of a thread whose function referred to it, as
-- in self.thread = green.spawn(function() self:work() end), was never
-- collected: the handle held the ended thread, and that its function, to be
-- named by it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a thread that has ended", function()
  local function run(o, f)
    o.thread = green.spawn(function() return f(o) end)
    o.thread:join()
    local name = o.thread.name
    assert.truthy(name:find("handle_cycle_spec.lua:%d+$"), name)
  end

  --- Is the object collected in which the thread's handle is kept?
  local function is_collected(f)
    local objects = setmetatable({}, {__mode = "k"})
    objects[{}] = true
    run(next(objects), f)
    for _ = 1, 3 do collectgarbage() end
    return next(objects) == nil
  end

  it("lets its function go, without results", function()
    assert.is_true(is_collected(function() end))
  end)
  it("lets its function go, with results", function()
    assert.is_true(is_collected(function() return 1, 2 end))
  end)
  it("lets its function go when others know its coroutine", function()
    assert.is_true(is_collected(function()
      coroutine.running()
      return 1
    end))
  end)
  it("may end while it owns a lock, before it has a name", function()
    local lock = green.lock()
    assert.is_true(is_collected(function() lock:acquire() end))
    local ok, err = pcall(lock.acquire, lock)
    assert.is_false(ok)
    assert.truthy(err:find "handle_cycle_spec.lua:%d+")
  end)
end)
