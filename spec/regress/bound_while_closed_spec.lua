-- A socket that was closed while bind looked a name up came to life again, with
-- a descriptor that nobody closed.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"

describe("a socket that is closed while it looks up", function()
  it("stays closed", function()
    for _, make in ipairs {green.socket.tcp, green.socket.udp} do
      local gate = green.event()
      local former = green.dns.use(function()
        gate:wait()
        return {"127.0.0.1"}
      end)
      local sock = make()
      local t = help.blocked(green.spawn(sock.setsockname, sock, "x.test", 0))
      sock:close()
      local fd = sock:getfd()
      gate:send()
      assert.is_nil((t:wait()))
      assert.equal(fd, sock:getfd())
      green.dns.use(former)
    end
  end)
end)
