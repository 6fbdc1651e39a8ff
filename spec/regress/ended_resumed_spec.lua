-- The outcome of a thread stood on its coroutine, and if others resumed or
-- closed the coroutine, that called or dropped it: a result that was a function
-- was run, joiners got "attempt to call a table value" or nothing.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a thread that has ended", function()
  local function ended(f)
    local co
    local t = green.spawn(function()
      co = coroutine.running()
      return f()
    end)
    t:join()
    return t, co
  end

  for name, meddle in pairs {
    resumed = function(co)
      assert.same({false, "cannot resume dead coroutine"},
        {coroutine.resume(co, "nonsense")})
    end,
    closed = function(co) coroutine.close(co) end,
  } do
    it("keeps its results when its coroutine is " .. name, function()
      local called = false
      local function result() called = true end
      local t, co = ended(function() return 1, result end)
      meddle(co)
      assert.same({true, 1, result}, {t:join()})
      assert.is_false(called)
    end)

    it("keeps its error when its coroutine is " .. name, function()
      local err = {}
      local t, co = ended(function() error(err) end)
      meddle(co)
      assert.same({false, err}, {t:join()})
      assert.equal(err, select(2, t:join()))
    end)
  end
end)
