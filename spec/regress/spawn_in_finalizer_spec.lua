-- Making a thread for a pool may run finalizers. If one spawned into the same
-- pool, it took the reserved record, and the program crashed; or it took the
-- last free slot, and two threads ran where one may.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function nop() end

--- Runs f at the next check for garbage.
local function at_next(f)
  local t = {}
  collectgarbage "incremental"
  collectgarbage "generational"
  collectgarbage "stop"
  setmetatable({}, {__gc = f})
  collectgarbage "restart"
  t[1] = true -- grows, but nobody looks yet
  return t
end

--- In a green thread that is not main: main's own allocations before the spawn
--- would come first.
local function in_thread(f)
  green.config{recycle = false}
  for _ = 1, 256 do green.spawn_n(nop) end -- now each coroutine is made
  local ok, err = green.spawn(f):join()
  green.config{recycle = true}
  collectgarbage "restart"
  collectgarbage "incremental"
  if not ok then error(err, 0) end
end

describe("a pool that a finalizer spawns into while it spawns", function()
  for _, spawn in ipairs{"spawn", "spawn_n"} do
    it("runs both, by " .. spawn, function()
      in_thread(function()
        local pool, runs = green.pool(10), 0
        local function count() runs = runs + 1 end
        at_next(function() pool[spawn](pool, count) end)
        pool[spawn](pool, count)
        pool:wait()
        assert.equal(2, runs)
      end)
    end)

    it("never runs more than it may, by " .. spawn, function()
      in_thread(function()
        local pool, log, most, running = green.pool(1), {}, 0, 0
        local function work(...)
          running = running + 1
          most = math.max(most, running)
          green.sleep(0)
          running = running - 1
          log[#log + 1] = table.concat({...}, " ")
        end
        at_next(function() pool[spawn](pool, work, "inner") end)
        pool[spawn](pool, work, "outer", 1, 2)
        pool:wait()
        assert.same({"inner", "outer 1 2"}, log)
        assert.equal(1, most)
      end)
    end)

    it("never runs more than it may, granted, by " .. spawn, function()
      in_thread(function()
        local pool, most, running, inner = green.pool(1), 0, 0, nil
        local function work()
          running = running + 1
          most = math.max(most, running)
          green.sleep(0)
          running = running - 1
        end
        pool:spawn_n(function()
          local me = green.current()
          me.name = "first"
          at_next(function() inner = pcall(pool[spawn], pool, work) end)
        end)
        pool[spawn](pool, work) -- waits until the first has ended
        pool:wait()
        assert.equal(1, most)
        assert.is_false(inner) -- it cannot wait
      end)
    end)
  end

  it("takes both into a pile", function()
    in_thread(function()
      local pile <close> = green.pile(10)
      at_next(function() pile:spawn(nop) end)
      pile:spawn(nop)
      local n = 0
      for _, ok in pile:results() do
        assert.is_true(ok)
        n = n + 1
      end
      assert.equal(2, n)
    end)
  end)
end)
