-- The record that a send over TLS had made when a limit or a kill ended it was
-- held until the next call that sent: a program that was told that all was sent
-- waited for an answer, and the peer for the end of the question.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local tls = require "spec.tls"

if not tls then
  it("needs TLS", function() pending "no OpenSSL, or no command of it" end)
  return
end

--- Sends until there is no room and the layer holds some; returns how many.
local function fill(sock)
  local sent, data = 0, ("x"):rep(65536)
  sock:settimeout(0)
  repeat
    local last, _, part = sock:send(data)
    sent = sent + (last or part)
  until part == 0
  sock:settimeout()
  return sent
end

describe("What TLS holds", function()
  it("goes when there is room, though nobody sends any more", function()
    local near, far = tls.pair()
    far:settimeout(10)
    local n = fill(near)
    assert.equal(n, #assert(far:receive(n)))
    -- Again, while the same thread waits for an answer.
    n = fill(near)
    local t = help.blocked(green.spawn(near.receive, near))
    assert.equal(n, #assert(far:receive(n)))
    far:send "answer\n"
    assert.equal("answer", t:wait())
    near:close()
    far:close()
  end)

  it("goes when the sender was killed, and its bytes were taken", function()
    local near, far = tls.pair()
    far:settimeout(10)
    local n = fill(near)
    local t = help.blocked(green.spawn(near.send, near, "y"))
    t:kill()
    t:join()
    assert.equal(n, #assert(far:receive(n)))
    near:close()
    far:close()
  end)

  it("is forgotten by close", function()
    local near, far = tls.pair()
    fill(near)
    near:close()
    far:settimeout(10)
    local _, err = far:receive "a"
    assert.truthy(err == "truncated" or err:find "reset", err)
    far:close()
  end)
end)
