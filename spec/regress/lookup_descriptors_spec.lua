-- A look-up for which there was no descriptor said that no name server answers,
-- or that there is no such name, and that was kept for later callers. Garbage
-- that holds descriptors was not collected first, as it is for sockets.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

describe("a look-up without a descriptor", function()
  teardown(preload.clean)

  it("says so, and the next one with a descriptor asks again", function()
    local out = preload.run [[
      local green = require "green"
      local dns = green.dns
      local toip = green.socket.dns.toip
      assert(dns.resolve "localhost") -- the modules and the threads are there
      dns.flush()
      local next = failing.dup(0)
      failing.close(next)
      failing.limit(next)
      for _, ask in ipairs {
        function() return dns.resolve "localhost" end,
        function() return dns.getaddrinfo("localhost", "http") end,
        function() return green.connect("localhost", "http") end,
        function() return toip "localhost" end,
      } do
        print(ask())
      end
      failing.limit(next + 30)
      assert(dns.resolve "localhost")
      print "again" ]]
    local n = 0
    for line in out:gmatch "[^\n]+" do
      if line:lower():find "nil%s+too many open files" then n = n + 1 end
    end
    assert.equal(4, n, out)
    assert.matches("again", out)
  end)

  it("has those that garbage holds", function()
    preload.run [[
      local green = require "green"
      assert(green.dns.resolve "localhost")
      green.dns.flush()
      local next = failing.dup(0)
      failing.close(next)
      collectgarbage "stop"
      failing.limit(next + 10)
      local n = 0
      while n < 1000 and io.open("/dev/null") do n = n + 1 end
      assert(green.dns.resolve "localhost")]]
  end)
end)
