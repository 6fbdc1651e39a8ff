-- kill, throw and link allocate first, which may run finalizers. If one also
-- killed, threw or linked, the second call came before the first, or took its
-- place; a link of a thread that was ended there never ran.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function nop() end

local at_next = help.at_next

local function blocked()
  local t = green.spawn(green.sleep, 10)
  green.sleep(0)
  return t
end

describe("a finalizer that does the same to a thread meanwhile", function()
  it("kills it first", function()
    for _, method in ipairs{"kill", "cancel"} do
      local t = method == "kill" and blocked() or green.spawn(nop)
      local other = {method == "kill" and "outer" or nil}
      at_next(function() t:kill("inner") end)
      t[method](t, table.unpack(other))
      collectgarbage "incremental"
      local _, killed = t:join()
      assert.equal("inner", killed.reason)
    end
  end)

  it("throws first", function()
    local t, inner = blocked(), nil
    at_next(function() inner = t:throw("inner") end)
    local outer = t:throw("outer")
    collectgarbage "incremental"
    if inner == nil then -- t inherits from main: nothing had to be made
      assert.same({false, "outer"}, {t:join()})
      return
    end
    assert.same({true, false}, {inner, outer})
    assert.same({false, "inner"}, {t:join()})
  end)

  it("links, too", function()
    local t, log = green.spawn(nop), {}
    local function first() log.first = true end
    local function second() log.second = true end
    require "green.core".rare(t) -- the list of links is made next
    at_next(function() t:link(first) end)
    t:link(second)
    collectgarbage "incremental"
    green.sleep(0)
    green.sleep(0)
    assert.same({first = true, second = true}, log)
  end)

  it("ends it before the link is there, which runs then", function()
    local t, runs = green.spawn(nop), 0
    local function count() runs = runs + 1 end
    at_next(function() t:cancel() end)
    t:link(count)
    collectgarbage "incremental"
    green.sleep(0)
    assert.equal(1, runs)
  end)
end)
