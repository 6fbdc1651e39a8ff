-- To end a thread that has not started, its name is made, which may collect
-- garbage; a finalizer that cancelled or killed the same thread then ended it
-- too: one live thread less was counted, down to minus one.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a thread that has not started", function()
  --- Cancels it while its end is under way, as far as that allocates.
  local function end_with_finalizers(way)
    for _ = 1, 2000 do
      local t = green.spawn_after(100, function() end)
      setmetatable({}, {__gc = function() t[way](t, "again") end})
      t[way](t, "once")
    end
  end

  for _, way in ipairs {"kill", "cancel", "throw"} do
    it("is ended once, also when a finalizer does " .. way, function()
      local before = green.stats().threads
      collectgarbage("generational")
      help.collecting(function()
        end_with_finalizers(way)
        green.sleep(0)
      end)
      collectgarbage("incremental")
      assert.equal(before, green.stats().threads)
    end)
  end
end)
