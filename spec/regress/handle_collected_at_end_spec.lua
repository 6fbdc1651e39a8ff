-- A thread ends and only its own stack has its handle. Allocating at its end
-- (here the name that it leaves in a lock) may collect the handle. The
-- finalizer freed the record, the slot and the coroutine, and the end then
-- freed them once more.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

-- A generational collector collects as soon as it is let go on.
local function without_collector(fn)
  collectgarbage("generational")
  collectgarbage("stop")
  local ok, err = pcall(fn)
  collectgarbage("restart")
  collectgarbage("incremental")
  if not ok then error(err, 0) end
end

-- Takes the lock and ends; returns a function that tells its number then.
local function take_and_end(lock)
  local id
  green.spawn_n(function()
    local me = green.current()
    lock:acquire()
    id = me.id
    collectgarbage("restart")
  end)
  return function() return id end
end

describe("a handle that is collected while its thread ends", function()
  it("leaves the end to the thread", function()
    without_collector(function()
      for _ = 1, 100 do
        local locks, ids = {}, {}
        for i = 1, 3 do
          locks[i] = green.lock()
          ids[i] = take_and_end(locks[i])
        end
        while not (ids[1]() and ids[2]() and ids[3]()) do green.sleep(0) end
        collectgarbage("stop")
        for i = 1, 3 do
          local ok, err = pcall(locks[i].acquire, locks[i])
          assert.is_false(ok)
          assert.matches("green thread #" .. ids[i]() .. " .*while it owned it",
            err)
        end
      end
    end)
  end)
end)
