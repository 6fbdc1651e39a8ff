-- The connect of streams took a datagram socket for a stream and wrote beyond
-- the end of that socket's memory: a crash. The finalizers of memory that
-- look-ups and select keep for C took any value for theirs.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local core = require "green.core"

describe("a call by hand", function()
  it("of a stream's connect on a datagram socket raises", function()
    for _, stream in ipairs {green.socket.tcp(), green.socket.unix.stream()} do
      for _, name in ipairs {"connect", "setpeername"} do
        local udp = green.socket.udp()
        local ok, err = pcall(stream[name], udp, "127.0.0.1", 9)
        if stream[name] ~= udp[name] and name == "connect" then
          assert.is_false(ok)
          assert.matches("tcp{any} expected", err)
        end
        assert.equal("udp{unconnected}", green.type(udp))
        udp:close()
      end
    end
  end)

  it("of a finalizer of memory of C's on another value raises", function()
    core.luasocket_dns() -- makes some
    green.socket.select({}, nil, 0)
    local tried = 0
    for _, mt in next, debug.getregistry() do
      local gc = type(mt) == "table" and rawget(mt, "__gc")
      local name = gc and tostring(rawget(mt, "__name"))
      if name == "luagreen.addresses"
        or name == "what is asked" then
        for _, value in ipairs {5, {}, io.stdout, green.queue()} do
          assert.is_false((pcall(gc, value)))
        end
        assert.is_false((pcall(gc)))
        tried = tried + 1
      end
    end
    assert.equal(2, tried)
    local state = debug.getmetatable(debug.getregistry()["luagreen.hub"])
    assert.is_false((pcall(state.__gc, 5)))
    state.__gc(debug.getregistry()["luagreen.hub"])
    green.sleep(0)
  end)
end)
