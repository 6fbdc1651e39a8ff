-- Ending a thread that has not started makes its name, which may collect
-- garbage. A finalizer that killed or threw into the same thread then ended it
-- too: the count of live threads became one too low, and its error was reported
-- twice. An eager collector shows it: make test PART=eager-gc.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a thread that has not started", function()
  --- Ends some twice, the second time by finalizers.
  local function end_some(way)
    for _ = 1, 2000 do
      local t = green.spawn_after(100, function() end)
      setmetatable({}, {__gc = function() t[way](t, "again") end})
      t[way](t, "once")
    end
  end

  for _, way in ipairs {"kill", "cancel", "throw"} do
    it("is ended once, also when a finalizer does " .. way, function()
      local told, most = {}, 0
      local former = green.on_error(function(_, t)
        told[t.id] = (told[t.id] or 0) + 1
        most = math.max(most, told[t.id])
      end)
      local before = green.stats().threads
      collectgarbage("generational")
      end_some(way)
      green.sleep(0)
      collectgarbage("incremental")
      green.on_error(former)
      assert.equal(before, green.stats().threads)
      assert.equal(way == "throw" and 1 or 0, most)
    end)
  end
end)
