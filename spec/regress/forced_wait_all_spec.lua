-- A forced kill waits until the library's own code is left. In wait_all that
-- took as long as its list is: a hundred threads that wait for each other were
-- not ended within a short grace.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a forced kill", function()
  it("does not wait for the rest of a list in wait_all", function()
    -- The handler is a function of C, in which nothing strikes. The last item
    -- is a mistake, so no call waits.
    local out, _, code = help.child [[
      local green = require "green"
      green.config {grace = 0.005, preempt = 0.001}
      green.on_error(function() end)
      local ended = green.spawn(function() end)
      ended:join()
      local list = {}
      for i = 1, 5000 do list[i] = ended end
      list[5001] = 0
      local function try() xpcall(green.wait_all, print, list) end
      for _ = 1, 20 do
        local t = green.spawn(function() while true do pcall(try) end end)
        green.sleep(0.001)
        t:kill()
        pcall(t.join, t)
      end]]
    assert.equal(0, code)
    assert.matches("item %d+: killed", out)
  end)
end)
