-- Where nothing can block, as in a finalizer, a call that only gives the others
-- a turn after some work must do without. metrics.text() raised there beyond
-- 100 lines. And receive() raised, though bytes had come: after a read that got
-- less than it asked for, the next one waited before it asked the system.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- What f returns in a finalizer, as pcall has it.
local function finalized(f)
  local result
  help.at_next(function() result = table.pack(pcall(f)) end)
  collectgarbage()
  collectgarbage "incremental"
  return table.unpack(result, 1, result.n)
end

describe("in a finalizer", function()
  it("metrics.text() tells of many series", function()
    local c = green.metrics.counter("finalized_total", "", {"n"})
    for i = 1, 500 do c:inc(i, {n = i}) end
    local ok, text = finalized(green.metrics.text)
    assert.is_true(ok, text)
    assert.truthy(text:find('finalized_total{n="500"} 500\n', 1, true))
  end)

  it("receive() gets what has come", function()
    local a, b = assert(green.socketpair())
    assert(a:send "one")
    assert.equal("one", b:recv(100))
    assert(a:send "two\nthree")
    assert.same({true, "two"}, {finalized(function() return b:receive() end)})
    assert.equal("three", b:recv(100))
    assert(a:send "four")
    assert.same({true, "four"},
      {finalized(function() return b:recv(100) end)})
    local ok, err = finalized(function() return b:recv(100) end)
    assert.is_false(ok)
    assert.truthy(err:find "cannot block in a finalizer")
    a:close()
    b:close()
  end)
end)
