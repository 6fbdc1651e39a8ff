-- In a forked child some calls said "operation not permitted" or "not enough
-- memory", and the figures of green.stats were whatever lay in memory.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

describe("in a forked child", function()
  teardown(preload.clean)

  it("each call that is refused says where it was made", function()
    local out = preload.run [[
      local green = require "green"
      local listener = assert(green.listen("127.0.0.1", 0))
      local sock = assert(green.udp("127.0.0.1", 0))
      local near, far = assert(green.socketpair())
      local thread = green.spawn(green.sleep, 60)
      green.sleep(0)
      local calls = {
        accept = function() listener:accept() end,
        datagram = function() sock:receive() end,
        copy = function() near:copy(far) end,
        limit = function() green.with_timeout(1, print) end,
        timeout = function() green.timeout(1) end,
        group = function() local _ <close> = green.group() end,
        port = function() green.port() end,
        throw = function() thread:throw "x" end,
        name = function() thread.name = "x" end,
        trace = function() green.trace.start() end,
        sleep = function() green.sleep(1) end,
      }
      local how, code, out = failing.child(20, function()
        for name, f in pairs(calls) do print(name, pcall(f)) end
        os.exit(true)
      end)
      print(how, code)
      print(out)
      os.exit(true)]]
    assert.matches("exit%s0", out)
    local n = 0
    for line in out:gmatch "[^\n]+\tfalse\t[^\n]+" do
      n = n + 1
      assert.matches("in a forked child process$", line)
    end
    assert.equal(11, n, out)
  end)

  it("the figures are 0", function()
    local out = preload.run [[
      local green = require "green"
      for _ = 1, 10 do green.sleep(0) end
      local _, _, out = failing.child(20, function()
        local s = green.stats()
        print(s.switches, s.polls, s.spawned, s.ready, s.external)
        os.exit(true)
      end)
      print(out)
      os.exit(true)]]
    assert.matches("^0\t0\t0\t0\t0\n", out)
  end)
end)
