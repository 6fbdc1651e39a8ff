-- Look-ups that need no server, those of numbers and of names whose answer was
-- kept, never let the others run, and no limit or kill ended a loop of them.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local MOST <const> = 200000

local calls = {
  ["dns.resolve, a number"] = function() green.dns.resolve "127.0.0.1" end,
  ["dns.resolve, a name"] = function() green.dns.resolve "localhost" end,
  ["dns.getaddrinfo"] = function() green.dns.getaddrinfo "127.0.0.1" end,
  ["dns.getnameinfo"] = function()
    green.dns.getnameinfo("127.0.0.1", 80, {numeric = true})
  end,
  ["socket.dns.getaddrinfo"] = function()
    green.socket.dns.getaddrinfo "127.0.0.1"
  end,
  ["socket.dns.toip"] = function() green.socket.dns.toip "localhost" end,
  ["socket.dns.tohostname"] = function()
    green.socket.dns.tohostname "localhost"
  end,
  ["socket.dns.getnameinfo"] = function()
    green.socket.dns.getnameinfo "127.0.0.1"
  end,
  ["tcp:bind"] = function()
    local s <close> = green.socket.tcp()
    s:bind("localhost", 0)
  end,
}

for name, call in pairs(calls) do
  describe(name .. " of what is known", function()
    local function loop(n)
      for _ = 1, n do call() end
      return "to its end"
    end

    it("lets the others run, and can be killed", function()
      call()
      local t = green.spawn(loop, MOST)
      for _ = 1, 3 do green.sleep(0) end
      assert.is_nil(t:join(0)) -- it has not run through
      t:kill()
      local ok, err = t:join(20)
      assert.same({false, "killed"}, {ok, green.type(err)})
    end)

    it("ends at a limit", function()
      local result = table.pack(green.with_timeout(-1, loop, 100))
      assert.same({n = 2, nil, "timeout"}, result)
    end)
  end)
end
