-- The next result of a pile needs a handle or a kill object, and making it may
-- run finalizers: one that read from the pile freed the result being read.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local at_next = help.at_next

--- A pile with n threads that have ended, and its iterator.
local function ended(n, f)
  local pile = green.pile(10)
  for _ = 1, n do pile:spawn(f) end
  green.sleep(0)
  collectgarbage()
  collectgarbage()
  return pile, (pile:results())
end

local function fail() error("no", 0) end
local function be_killed()
  green.current():kill()
  green.sleep(0)
end

describe("a pile that a finalizer reads while it is read", function()
  for _, f in ipairs{fail, be_killed} do
    it("gives each result to one", function()
      local pile <close>, next_of = ended(3, f)
      local inner
      at_next(function() inner = next_of(pile) end)
      local outer = next_of(pile)
      collectgarbage "incremental"
      collectgarbage()
      local all = {inner, outer, (next_of(pile))}
      table.sort(all)
      assert.same({1, 2, 3}, all)
      assert.is_nil((next_of(pile)))
    end)

    it("has nothing left when the finalizer took the last", function()
      local pile <close>, next_of = ended(1, f)
      local inner
      at_next(function() inner = next_of(pile) end)
      local outer = next_of(pile)
      collectgarbage "incremental"
      collectgarbage()
      assert.same({1, nil}, {inner or outer, inner and outer})
    end)
  end

  it("reports each failure once when it is closed", function()
    local n, read = 0, 0
    local former = green.on_error(function() n = n + 1 end)
    do
      local pile <close>, next_of = ended(300, fail)
      local runs = 0
      local function finalizer()
        runs = runs + 1
        if runs < 3 then
          setmetatable({}, {__gc = finalizer})
        else
          while next_of(pile) do read = read + 1 end
        end
      end
      help.collect_often()
      setmetatable({}, {__gc = finalizer})
    end
    collectgarbage "incremental"
    for _ = 1, 3 do green.sleep(0) end
    green.on_error(former)
    assert.equal(300, n + read)
  end)
end)

describe("a kill object that a finalizer asks for while it is made", function()
  it("is the same", function()
    local t = green.spawn(green.sleep, 10)
    t:kill("reason") -- it has not started: nobody has seen the object yet
    local inner
    at_next(function() inner = select(2, t:join(0)) end)
    local _, outer = t:join(0)
    collectgarbage "incremental"
    assert.equal("reason", inner.reason)
    assert.is_true(rawequal(inner, outer))
  end)
end)
