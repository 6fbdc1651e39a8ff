-- uv_run() does nothing for a loop without ref'd handles: while some thread was
-- always ready, Ctrl-C did not reach main. And a thread that computed took a
-- lap for it, but nobody had woken main.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("Ctrl-C", function()
  it("reaches a parked main while others are always ready", function()
    local out, how, code = help.child [[
      local green = require "green"
      green.spawn(function()
        while true do green.sleep(0) end
      end)
      local killer = io.popen("read _; kill -INT " .. PID(), "w")
      green.spawn(function()
        killer:write "\n"
        killer:flush()
      end)
      print(pcall(green.sleep, 60))
      os.exit(5)
    ]]
    assert.same({"exit", 5}, {how, code}, out)
    assert.matches("false\tinterrupted!", out)
  end)

  it("reaches a parked main while another thread computes", function()
    local out, how, code = help.child [[
      local green = require "green"
      local killer = io.popen("read _; kill -INT " .. PID(), "w")
      green.spawn(function()
        killer:write "\n"
        killer:flush()
        while true do end
      end)
      print(pcall(green.sleep, 60))
      os.exit(5)
    ]]
    assert.same({"exit", 5}, {how, code}, out)
    assert.matches("false\tinterrupted!", out)
  end)
end)
