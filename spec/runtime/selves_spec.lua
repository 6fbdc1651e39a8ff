-- Methods and metamethods called by hand, on a wrong object or one that is
-- over: spec/selves.lua does the work, in a process that may crash.
--
-- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

describe("each method of each class, on a wrong self or on one that is over,",
  function()
    for _, where in ipairs {"main", "thread"} do
      it("returns or raises an error that names it, in " .. where, function()
        local p = io.popen(("%s spec/selves.lua %s 2>&1"):format(shell.lua,
          where))
        local out = p:read "a"
        assert.is_truthy(p:close(), out)
        local calls, faults = out:match "classes, (%d+) calls, (%d+) faults"
        assert.equal("0", faults, out)
        assert.is_true(tonumber(calls) > 5000)
      end)
    end
  end)
