-- Ports that look like numbers: green.dns took "65616" for 80 and "65536" for
-- 0, and sendto of LuaSocket's sockets took "0x50", "8e1" and "80 ", which
-- LuaSocket refuses.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local NO_SERVICE <const> = "service not supported for socket type"
local NO_PORTS <const> = {"65536", "65616", "-1", " 80", "+80", "\t80", ""}

describe("a text that reads as a number, and is no port", function()
  it("is none to green.dns", function()
    for _, port in ipairs(NO_PORTS) do
      assert.same({nil, NO_SERVICE},
        {green.dns.getaddrinfo("127.0.0.1", port)})
      assert.same({nil, NO_SERVICE}, {green.dns.getaddrinfo(nil, port)})
      assert.same({nil, NO_SERVICE},
        {green.dns.getnameinfo("127.0.0.1", port)})
    end
  end)

  it("is none to socket.dns, where no text is port 0", function()
    for _, port in ipairs(NO_PORTS) do
      if port ~= "" then
        assert.same({nil, NO_SERVICE},
          {green.socket.dns.getnameinfo("127.0.0.1", port)})
      end
    end
  end)

  it("is no port to send a datagram to", function()
    local plain <close> = assert(green.udp("127.0.0.1", 0))
    local luasocket = green.socket.udp()
    for _, sock in ipairs {plain, luasocket} do
      for _, port in ipairs {"0x50", "8e1", "80 ", " 80", "80.0", "65616"} do
        local size, err = sock:sendto("x", "127.0.0.1", port)
        assert.is_nil(size)
        assert.string(err)
      end
    end
  end)

  it("may have zeros before it", function()
    local here <close> = assert(green.udp("127.0.0.1", 0))
    local _, port = here:getsockname()
    assert.equal(1, here:sendto("x", "127.0.0.1", "000" .. port))
    assert.equal("x", (here:receive(nil, 5)))
  end)
end)
