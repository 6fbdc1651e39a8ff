-- The memory of a priority queue grew in the middle of a put, which may run
-- finalizers. If one also put values, they were written beyond the end; if one
-- got a value, the same waiting put entered twice.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local at_next = help.at_next

local function drain(q)
  collectgarbage "incremental"
  local values = {}
  while #q > 0 do values[#values + 1] = q:get() end
  return values
end

local function filled(n, limit)
  local q = green.priority_queue(limit)
  for i = 1, n do q:put(i) end
  return q
end

local function range(first, last)
  local list = {}
  for i = first, last do list[#list + 1] = i end
  return list
end

describe("a priority queue that a finalizer uses while it grows", function()
  it("keeps what both have put", function()
    local q = filled(8)
    at_next(function() for i = 10, 50 do q:put(i) end end)
    q:put(9)
    assert.same(range(1, 50), drain(q))
  end)

  it("lets each waiting put in once", function()
    local q, first = filled(8, 8), nil
    green.spawn_n(q.put, q, 9)
    green.sleep(0)
    at_next(function() first = q:get(0) end)
    q:resize(16)
    assert.same(range(2, 9), drain(q))
    assert.equal(1, first)
  end)

  it("keeps its limit, and is closed when it is", function()
    local q = filled(8, 9)
    at_next(function() q:put(9, 0) end)
    assert.same({nil, "timeout"}, {q:put(10, 0)})
    assert.same(range(1, 9), drain(q))
    q = filled(8, 9)
    local other = green.queue()
    other:put(1)
    at_next(function() q:put(9, 0) end)
    assert.same({2, 1}, {green.select({{q, "put", 10}, other}, 0)})
    assert.same(range(1, 9), drain(q))
    q = filled(8)
    at_next(function() q:close() end)
    assert.same({nil, "closed"}, {q:put(9, 0)})
    assert.same(range(1, 8), drain(q))
  end)
end)
