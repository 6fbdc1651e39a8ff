-- The text of a deadlock measured each wait up to the time of printing, not of
-- the deadlock, so a second print differed.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("the text of a deadlock", function()
  it("stays as it is", function()
    local _, err = pcall(function() green.event():wait() end)
    assert.equal("deadlock", green.type(err))
    local text = tostring(err)
    green.sleep(0.01)
    assert.equal(text, tostring(err))
    assert(err.at >= err.threads[1].since)
  end)
end)
