-- The handler of Ctrl-C put its hook on the coroutine that had blocked last,
-- even if that had ended, and its memory was gone.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("Ctrl-C", function()
  it("reaches a main that computes after a generator has ended", function()
    local out, how, code = help.child [[
      local green = require "green"
      coroutine.wrap(function() green.sleep(0.001) end)()
      for _ = 1, 4 do collectgarbage() end
      local killer = io.popen("read _; kill -INT " .. PID(), "w")
      local start = os.clock()
      print(pcall(function()
        killer:write "\n"
        killer:flush()
        while os.clock() - start < 5 do end
      end))
      os.exit(5)
    ]]
    assert.same({"exit", 5}, {how, code}, out)
    assert.matches("interrupted!", out)
  end)
end)
