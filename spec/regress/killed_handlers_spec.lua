-- A handler's thread that was killed before it ran held its place in
-- green.serve and green.udp_server for ever: with a limit of 1 they served
-- nobody any more.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- Kills the first thread that has not run yet.
local function kill_next()
  local killed
  help.wait_until(function()
    for _, t in ipairs(green.threads()) do
      if t:status() == "new" then
        t:kill()
        killed = true
      end
    end
    return killed
  end)
end

describe("a handler that is killed before it runs", function()
  help.both(it, "makes room for the next one of green.serve", function()
    local listener = assert(green.listen("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local server <close> = green.spawn(green.serve, listener, function(conn)
      conn:send "here\n"
    end, 1)
    help.blocked(server)
    local first <close> = assert(green.connect("127.0.0.1", port))
    kill_next()
    local second <close> = assert(green.connect("127.0.0.1", port))
    second:settimeout(20)
    assert.equal("here", (second:receive()))
    first:close()
    listener:close()
  end)

  help.both(it, "makes room for the next one of green.udp_server", function()
    local sock <close> = assert(green.udp())
    assert(sock:setsockname("127.0.0.1", 0))
    local _, port = sock:getsockname()
    local got = green.queue()
    local server <close> = green.spawn(green.udp_server, sock,
      function(_, data) got:put(data) end, 1)
    help.blocked(server)
    local client <close> = assert(green.udp())
    assert(client:sendto("one", "127.0.0.1", port))
    kill_next()
    assert(client:sendto("two", "127.0.0.1", port))
    assert.equal("two", got:get(20))
  end)
end)
