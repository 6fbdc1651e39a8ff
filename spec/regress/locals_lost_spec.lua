-- The first field of a thread's locals needs tables, and making them may run
-- finalizers: the fields that one set there were lost.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local at_next = help.at_next

local function in_thread(f)
  local ok, err = green.spawn(f):join()
  collectgarbage "incremental"
  if not ok then error(err, 0) end
end

describe("locals that a finalizer sets while they are set", function()
  for _, inherit in ipairs{false, true} do
    it("keep both, of one object", function()
      in_thread(function()
        local mine = green.locals(inherit)
        at_next(function() mine.a = 1 end)
        mine.b = 2
        assert.same({1, 2}, {mine.a, mine.b})
      end)
    end)

    it("keep both, of two objects", function()
      in_thread(function()
        local mine, its = green.locals(inherit), green.locals(inherit)
        require "green.core".rare()
        at_next(function() its.a = 1 end)
        mine.b = 2
        assert.same({1, 2}, {its.a, mine.b})
      end)
    end)
  end
end)
