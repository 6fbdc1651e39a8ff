-- A send that could not wait, because no C stack was left, kept the write side
-- of the socket: the next writer waited for ever.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a send that finds no C stack to wait on", function()
  it("raises, and the next writer is told that it was cut", function()
    local out = help.child [[
      local green = require "green"
      local listener = green.listen("127.0.0.1", 0)
      local _, port = listener:getsockname()
      local conn = green.connect("127.0.0.1", port)
      local peer = listener:accept()
      local function below_c(f) string.gsub("a", "a", f) end
      local function nap() green.sleep(60) end
      green.on_error(function() end)
      green.config {max_stacks = green.stats().stacks}
      for _ = 1, 200 do green.spawn_n(below_c, nap) end
      green.spawn(below_c, function()
        print(pcall(conn.send, conn, ("x"):rep(8000000)))
      end)
      green.sleep(0.01)
      green.spawn(function() print(conn:send("hi")) end):wait()
      peer:close()
    ]]
    assert.matches("false\t[^\n]*no C stack left", out)
    assert.matches("nil\tsend was cut after %d+ bytes", out)
  end)
end)
