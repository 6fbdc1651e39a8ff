-- A thread gives way after 64 calls that need not wait, however long it
-- computes between them: where ten threads computed 5 ms each time, one that
-- slept for 1 ms woke after 3.2 s.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local THREADS, SECONDS = 10, 0.005

describe("threads that compute between calls that need not wait", function()
  local calls = {
    ["queue:put"] = function()
      local q = green.queue()
      return function() q:put(1) end
    end,
    ["lock:acquire"] = function()
      local lock = green.lock()
      return function() lock:acquire() lock:release() end
    end,
    ["event:wait"] = function()
      local e = green.event()
      e:send(1)
      return function() e:wait() end
    end,
  }
  for name, make in pairs(calls) do
    help.both(it, "hold nobody else up for long: " .. name, function()
      local computed, threads = 0, {}
      local function works()
        local call = make()
        while true do
          local time = green.now() + SECONDS
          while green.now() < time do end
          computed = computed + 1
          call()
        end
      end
      for i = 1, THREADS do threads[i] = green.spawn(works) end
      -- The first turn has 64 calls; or the first two, where the hub had not
      -- looked at the clock just before. The turns after that have two.
      green.sleep(0.001)
      local first = computed
      green.sleep(0.001)
      local second = computed - first
      for _, t in ipairs(threads) do t:kill() end
      assert.is_true(first < 64 * THREADS / 2, first .. " first")
      assert.is_true(second < 64 * THREADS / 4, second .. " then")
    end)
  end
end)
