-- The deadlock report named a line of the library as the place of main's wait.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a deadlock report", function()
  it("tells where the program waits, and not where the library does", function()
    local wait = green.single_flight(function() green.event():wait() end)
    local ok, err = pcall(wait)
    assert.is_false(ok)
    assert.equal("deadlock", green.type(err))
    for _, t in ipairs(err.threads) do
      assert.matches("^%S*deadlock_place_spec.lua:%d+$", t.where)
    end
  end)
end)
