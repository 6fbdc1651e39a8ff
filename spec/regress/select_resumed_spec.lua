-- Values that a foreign resume passed to a thread in select lay above its cases
-- and counted as more of them: SIGSEGV.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a thread that waits in select", function()
  it("goes on as if nothing had been, after it was resumed by others",
    function()
      help.with_config({keep_stacks = 0}, function()
        local e, co = green.event(), nil
        local t = green.spawn(function()
          co = coroutine.running()
          return green.select {green.queue(), e}
        end)
        help.blocked(t)
        for _ = 1, 3 do coroutine.resume(co, "nonsense", "and more") end
        e:send("sent")
        assert.same({2, true, "sent"}, {t:wait()})
      end)
    end)
end)
