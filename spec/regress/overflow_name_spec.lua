-- The search for the default name of a failed thread went level by level, and
-- each level costs its depth: a stack overflow took a minute to report.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a thread whose stack overflows", function()
  it("ends at once, and keeps its name", function()
    local function deep() return 1 + deep() end
    local t = green.spawn(deep)
    local ok, err = t:join()
    assert.is_false(ok)
    assert.matches("stack overflow", err)
    assert.matches("overflow_name_spec.lua:10$", t.name)
  end)
end)
