-- Numbers that a program writes for "any number": top's loop to 2^63 - 1 never
-- ended, and a resource pool of 2^53 made as many permits.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local function make() return {} end

local function refuses(words, f)
  local ok, err = pcall(f)
  assert.is_false(ok)
  assert.matches("huge_numbers_spec.lua:%d+: " .. words .. ".*at most 1000000",
    err)
end

describe("a huge number", function()
  it("of rows is all rows of top", function()
    local list = green.top {n = math.maxinteger, seconds = 0}
    assert.is_true(#list >= 1)
    for _, n in ipairs {2 ^ 53, math.maxinteger // 2} do
      assert.is_true(#green.top {n = n, seconds = 0} >= 1)
    end
  end)

  for _, n in ipairs {1000001, 2 ^ 53, math.maxinteger} do
    it("of items is none that a resource pool has: " .. n, function()
      refuses("bad option 'max'", function()
        local pool = green.resource_pool {create = make, max = n}
        return pool
      end)
      local pool = green.resource_pool {create = make}
      refuses("bad argument #1", function() pool:resize(n) end)
      assert.equal(4, pool:free())
    end)
  end

  it("of items that a resource pool may have", function()
    local pool = green.resource_pool {create = make, max = 1000000}
    assert.equal(1000000, pool:free())
  end)
end)
