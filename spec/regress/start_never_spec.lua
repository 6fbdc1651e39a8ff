-- A start after math.huge seconds stood in the timer heap: the process polled
-- without a pause, or hung instead of reporting a deadlock.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"
local green = require "green"

describe("spawn_after with no end of time", function()
  it("never starts, and wakes nobody", function()
    local out = help.child [[
      local green = require "green"
      local t = green.spawn_after(math.huge, print)
      local e = green.event()
      local ok, err = pcall(e.wait, e)
      print(ok, green.type(err), t:status())
    ]]
    assert.matches("false\tdeadlock\tnew", out)
  end)

  it("can be cancelled", function()
    local t = green.spawn_after(math.huge, print)
    assert.is_true(t:cancel())
    assert.equal("killed", t:status())
  end)
end)
