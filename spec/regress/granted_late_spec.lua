-- A spawner that a pool had granted a slot, and that ran only while the state
-- closed, made a thread that ended at once. Its slot counted twice meanwhile:
-- an assertion failed.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a pool's slot that is granted", function()
  it("is one slot, also if the thread ends before its spawner goes on",
    function()
      local out, how, code = help.child [[
        local green = require "green"
        local pool = green.pool(1)
        pool:spawn(green.sleep, 0)
        green.spawn(function() pool:spawn(print, "too late") end)
        green.sleep(0)
        green.sleep(0)
        print "the end"
      ]]
      assert.same({"exit", 0}, {how, code}, out)
      assert.equal("the end\n", out)
    end)
end)
