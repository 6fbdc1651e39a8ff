-- A thread that merely went round, its budget spent, was undone as if a queue
-- had handed it an item when foreign code closed its coroutine: SIGSEGV.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a thread that goes round between two calls", function()
  local calls = {
    get = function(q) q:get() end,
    select = function(q) green.select {q} end,
  }
  for name, call in pairs(calls) do
    it("may be closed by foreign code: " .. name, function()
      help.with_config({keep_stacks = 0}, function()
        local q, co = green.queue(), nil
        for i = 1, 1000 do q:put(i) end
        local t = green.spawn(function()
          co = coroutine.running()
          while true do call(q) end
        end)
        help.wait_until(function() return t:status() == "ready" end)
        green.sleep(0)
        local left = #q
        assert.is_true(left > 0)
        assert.is_true(coroutine.close(co))
        assert.equal("killed", t:status())
        assert.equal(left, #q)
        assert.equal(1000 - left + 1, (q:get()))
      end)
    end)
  end
end)
