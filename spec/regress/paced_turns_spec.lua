-- A datagram to a Unix socket whose queue is full is tried again after pauses
-- that grow. The thread that paused had no turn to write, as nothing watched
-- the descriptor yet: a later thread, with shorter pauses, overtook it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("threads that send to a full Unix socket", function()
  it("send in the order in which they came", function()
    local path = os.tmpname()
    os.remove(path)
    local far <close> = assert(green.udp("unix:" .. path))
    local near <close> = assert(green.udp "unix:")
    near:settimeout(0)
    while near:sendto("x", path) do end
    near:settimeout(nil)
    local order = {}
    local function sends(i)
      assert(near:sendto("y", path))
      order[#order + 1] = i
    end
    local threads = {}
    for i = 1, 3 do
      threads[i] = green.spawn(sends, i)
      help.blocked(threads[i])
      green.sleep(0.1) -- its pauses grow
    end
    far:settimeout(0)
    while far:receive() do end
    green.wait_all(threads)
    os.remove(path)
    assert.same({1, 2, 3}, order)
  end)
end)
