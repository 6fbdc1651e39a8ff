-- A TCP socket whose connect had failed never connected again: the next try,
-- by the descriptor that the first had made, said "closed".
-- SPDX-License-Identifier: MIT
local green = require "green"

describe("a socket whose connect was refused", function()
  it("connects again, to an address of the other family, too", function()
    local refusing = green.socket.tcp4()
    assert(refusing:bind("127.0.0.1", 0))
    local _, no_port = refusing:getsockname()
    local server = green.listen("::1", 0)
      or assert(green.listen("127.0.0.1", 0))
    local host, port = server:getsockname()
    local sock = green.socket.tcp()
    for _ = 1, 3 do
      assert.same({nil, "connection refused"},
        {sock:connect("127.0.0.1", no_port)})
    end
    assert.equal(1, (sock:connect(host, port)))
    assert.equal(port, select(2, sock:getpeername()))
    for _, s in ipairs {refusing, server, sock} do s:close() end
  end)

  it("keeps the descriptor until then, and its error", function()
    local refusing = green.socket.tcp4()
    assert(refusing:bind("127.0.0.1", 0))
    local sock = green.socket.tcp()
    sock:connect("127.0.0.1", (select(2, refusing:getsockname())))
    assert.is_true(sock:getfd() >= 0)
    assert.equal("tcp{client}", sock.class)
    sock:close()
    refusing:close()
  end)
end)
