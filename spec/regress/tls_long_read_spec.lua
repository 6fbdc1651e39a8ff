-- A read over TLS that gives the others a turn after 16 full pieces, as a copy
-- does, hung for ever where all that was left lay in OpenSSL already: it waited
-- for the descriptor, which that makes not readable.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local tls = require "spec.tls"

if not tls then
  it("needs TLS", function() pending "no OpenSSL, or no command of it" end)
  return
end

--- Bytes of a piece, and pieces in a row.
local PIECE <const>, ROW <const> = 256 << 10, 16
local LIMIT <const> = 20 -- seconds

--- Both ends, the kernel having learned to keep much of what one sends.
local function pair()
  local near, far = tls.pair()
  local size <const> = 16 << 20
  local writer = green.spawn(function() assert(near:send(("x"):rep(size))) end)
  for _ = 1, size // 65536 do assert(far:receive(65536)) end
  writer:wait()
  return near, far
end

--- Sends n bytes as far as the kernel takes them at once; returns the rest.
local function fill(sock, n)
  sock:settimeout(0)
  local last, _, part
  repeat
    last, _, part = sock:send(("x"):rep(math.min(n, PIECE)))
    n = n - (last or part)
  until n == 0 or part == 0
  sock:settimeout()
  return n
end

describe("a read over TLS that takes many pieces", function()
  it("ends, whether or not the descriptor has more", function()
    local near, far = pair()
    local file <close> = assert(io.tmpfile())
    far:settimeout(LIMIT)
    for _, extra in ipairs {0, 1, 16384} do
      local n = ROW * PIECE + extra
      near:send("x") -- the records that follow lie across the pieces
      local rest = fill(near, n - 1)
      local writer = rest > 0 and green.spawn(near.send, near, ("x"):rep(rest))
      local began = green.now()
      local moved, err = far:copy(file, n)
      assert.same({n}, {moved, err})
      -- A limit that is over has one more look: that hid it.
      assert.is_true(green.now() - began < LIMIT)
      if writer then writer:wait() end
    end
    near:close()
    far:close()
  end)
end)
