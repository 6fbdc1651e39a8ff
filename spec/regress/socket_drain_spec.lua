-- A socket that was younger than the sentinel was closed, when the state
-- closed, before the threads that used it were killed.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("when the state closes", function()
  it("a <close> handler can still send on its thread's socket", function()
    local out = help.child [[
      local green = require "green"
      local listener = green.listen("127.0.0.1", 0)
      local _, port = listener:getsockname()
      local ready = green.event()
      green.spawn_n(function()
        local conn = listener:accept()
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(1, function() print("sent", conn:send("bye")) end)
        end})
        ready:send()
        conn:receive()
      end)
      local client
      green.spawn_n(function() client = green.connect("127.0.0.1", port) end)
      ready:wait()
    ]]
    assert.matches("sent\t3", out)
  end)
end)
