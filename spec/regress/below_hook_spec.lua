-- A thread that was ended below a hook of the program's, where its handlers of
-- <close> cannot run, counted among the connections of its peer for ever: a
-- server with a limit refused that peer from then on.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- Blocks below a hook, whatever strikes.
local function stay()
  debug.sethook(function()
    while true do pcall(green.sleep, 60) end
  end, "", 1)
  while true do end
end

--- Ends a thread that stays so. It tells that on stderr.
local function end_below(t)
  help.with_config({grace = 0.001}, function()
    help.blocked(t)
    t:kill()
    t:join()
  end)
end

describe("a thread that is ended below a hook", function()
  help.both(it, "counts among a server's connections no more", function()
    local thread
    local server <close> = green.server {listen = "127.0.0.1:0", per_peer = 1,
      handler = function(conn)
        if thread then return conn:send "here\n" end
        thread = green.current()
        stay()
      end}
    assert(server:start())
    local port = server:addresses()[1].port
    local first = assert(green.connect("127.0.0.1", port))
    help.wait_until(function() return thread ~= nil end)
    end_below(thread)
    assert.equal(0, server:stats().connections)
    local second <close> = assert(green.connect("127.0.0.1", port))
    second:settimeout(20)
    assert.equal("here", (second:receive()))
    assert.same({}, server:stop {grace = 0}.left)
    first:close()
  end)

  for _, callback in ipairs {"create", "check"} do
    help.both(it, "gives back the place in a pool where it was in " .. callback,
      function()
        local calm, destroyed = callback == "check", 0
        local pool = green.resource_pool {max = 1,
          create = function() return {} end,
          destroy = function() destroyed = destroyed + 1 end,
          [callback] = function()
            if not calm then stay() end
            return {}
          end}
        local function use()
          local lease <close> = pool:lease(20)
          return lease ~= nil
        end
        if calm then assert.is_true(use()) end
        calm = false
        end_below(green.spawn(use))
        calm = true
        assert.is_true(use())
        assert.equal(callback == "check" and 1 or 0, destroyed)
        assert.equal(1, pool:free())
      end)
  end

  help.both(it, "is a caller of no flight any more, which ends", function()
    local run
    local flight = green.single_flight(function()
      run = green.current()
      green.sleep(60)
    end)
    end_below(green.spawn(function()
      debug.sethook(function()
        while true do pcall(flight) end
      end, "", 1)
      while true do end
    end))
    help.wait_until(function() -- the caller's seat is garbage
      collectgarbage()
      green.sleep(0)
      return run:has_ended()
    end, "the end of the run")
    local other = help.blocked(green.spawn(flight))
    other:kill()
    other:join()
    assert.equal("killed", run:status())
  end)
end)
