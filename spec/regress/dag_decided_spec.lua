-- A key had its values a moment after it was said to be decided, and what made
-- them ran finalizers: one that asked for the key crashed in the graph, one
-- that decided it was overruled. With memory short, the key never failed.
--
-- SPDX-License-Identifier: MIT

local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"

describe("a key that is being decided", function()
  after_each(function() collectgarbage "incremental" end)

  it("is open, or has its values, for a finalizer that asks", function()
    local d, seen = dag(), nil
    d:spawn("key", nil, function()
      help.at_next(function() seen = table.pack(pcall(d.get, d, "key")) end)
      return "value"
    end)
    assert.equal("value", d:wait {"key"}.key)
    assert.is_true(seen[1], tostring(seen[2]))
  end)

  it("has for good what a finalizer gave it meanwhile", function()
    local d = dag()
    d:spawn("key", nil, function()
      help.at_next(function()
        d:kill "key"
        d:post("key", "the finalizer's")
      end)
      return "the task's"
    end)
    assert.equal("the finalizer's", d:wait {"key"}.key)
    green.sleep(0)
    assert.equal("the finalizer's", d:get "key")
  end)

  it("may be listed while finalizers name other keys", function()
    local d = dag()
    for i = 1, 40 do d:post(i, i) end
    for _, list in ipairs {"keys", "items", "waiting_for"} do
      local named = 0
      local function more()
        named = named + 1
        d:post(list .. named, named)
        if named < 100 then help.at_next(more) end
      end
      help.at_next(more)
      assert.is_truthy(d[list](d))
    end
    collectgarbage "incremental"
    local seen = {}
    for _, key in ipairs(d:keys()) do
      assert.is_nil(seen[key])
      seen[key] = true
    end
    assert.equal(40, #seen)
  end)
end)
