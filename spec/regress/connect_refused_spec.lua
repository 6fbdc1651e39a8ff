-- A connect that had to wait where blocking is refused raised while it held the
-- list of addresses: the list leaked, and the descriptor stayed half connected.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local core = require "green.core"

describe("a connect that may not wait", function()
  it("says so and leaves nothing behind", function()
    local listener <close> = green.listen("127.0.0.1", 0)
    local _, port = listener:getsockname()
    local sock = core.tcp()
    local ok, err
    setmetatable({}, {__gc = function()
      ok, err = pcall(sock.connect, sock, "127.0.0.1", port)
    end})
    collectgarbage()
    if ok then sock:close() return end -- it did not have to wait
    assert.matches("cannot block in a finalizer", err)
    assert.equal(-1, sock:getfd())
  end)
end)
