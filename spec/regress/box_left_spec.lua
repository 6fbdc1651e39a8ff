-- receive copied a line with returns in it into a buffer of Lua's. If a
-- finalizer read from the socket meanwhile, lua_settop() dropped the buffer,
-- and in Lua 5.4.4 that loses the stack's top if the stack moves just then.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a line that a finalizer reads while it is copied", function()
  it("leaves the caller's stack as it was, however full that is", function()
    local listener <close> = green.listen("127.0.0.1", 0)
    local _, port = listener:getsockname()
    local client <close> = green.connect("127.0.0.1", port)
    local sock <close> = listener:accept()
    local first, second = ("x"):rep(2000) .. "\r", ("y"):rep(2000) .. "\r"
    local wanted = ("x"):rep(2000) .. "z"
    local function receive(...)
      local line = sock:receive("*l", "") -- makes nothing before the copy
      return line, select("#", ...), ...
    end
    -- a coroutine's stack starts small: each time it is fuller
    for k = 0, 60 do
      local text = table.concat {"first\n", first, "z\n", second, "z\n"}
      assert(client:send(text))
      assert.equal("first", sock:receive())
      help.wait_until(function() return sock:dirty() end)
      local values, inner = {}, nil
      for i = 1, k do values[i] = i end
      local co = coroutine.wrap(function()
        return receive(table.unpack(values, 1, k))
      end)
      help.at_next(function() inner = sock:receive() end)
      local results = table.pack(co())
      collectgarbage "incremental"
      local got = {results[1], inner or sock:receive()}
      table.sort(got)
      assert.equal(wanted, got[1])
      assert.equal(k, results[2])
      for i = 1, k do assert.equal(i, results[i + 2]) end
    end
  end)
end)
