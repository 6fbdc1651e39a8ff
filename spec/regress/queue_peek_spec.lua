-- peek skipped the items that were promised to woken getters, and get did not,
-- so peek showed another item than get returned.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("peek", function()
  it("shows what get returns while a woken getter has not run yet", function()
    local q = green.queue()
    local t = green.spawn(q.get, q)
    help.blocked(t)
    q:put(1)
    q:put(2)
    assert.equal(q:peek(), (q:get()))
    t:wait()
  end)
end)
