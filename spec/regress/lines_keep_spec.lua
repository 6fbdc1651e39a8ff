-- A loop over lines that a limit of the socket ended had taken the beginning of
-- a line along: the next loop began in its midst.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a loop over lines that ends by a limit", function()
  it("leaves the beginning of a line to the next one", function()
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local host, port = l:getsockname()
    local near <close> = assert(green.connect(host, port))
    local far <close> = assert(l:accept())
    near:send "one\r\ntwo, half"
    far:settimeout(0.05)
    local got = {}
    local function read()
      for line in far:lines() do got[#got + 1] = line end
    end
    assert.error_matches(read, "timeout")
    assert.error_matches(read, "timeout")
    near:send " and half\nthree"
    near:shutdown "send"
    read()
    assert.same({"one", "two, half and half", "three"}, got)
  end)

  it("says so again after a reset", function()
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local host, port = l:getsockname()
    local near <close> = assert(green.connect(host, port))
    local far <close> = assert(l:accept())
    near:send "half"
    assert.equal("h", far:receive(1))
    near:abort()
    for _ = 1, 2 do
      assert.error_matches(function() for _ in far:lines() do end end,
        "reset by peer")
    end
  end)
end)
