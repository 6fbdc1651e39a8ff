-- green.connect with the option `family` or `bind` tried the addresses of a
-- name one after the other: the first one that swallowed packets took minutes.
-- SPDX-License-Identifier: MIT
local green = require "green"

local HOLE <const>, GOOD <const> = "127.0.0.3", "127.0.0.2"

--- A listener at GOOD, and one at HOLE, on the same port.
local function two()
  for _ = 1, 20 do
    local good = assert(green.listen(GOOD, 0))
    local listener, err = green.listen(HOLE, select(2, good:getsockname()),
      {backlog = 0})
    if listener then return good, listener end
    good:close()
    assert.equal("address already in use", err) -- by another program
  end
  error("no port is free at both addresses")
end

--- Fills the listener's backlog. Returns it and what does so.
local function fill(listener, port)
  local held = {listener}
  repeat
    local conn, err = green.connect(HOLE, port, {timeout = 0.1})
    held[#held + 1] = conn
  until err or #held > 9
  return held
end

describe("green.connect of one family, or from an address", function()
  it("passes an address that swallows packets by", function()
    local first, hole = two()
    local good <close> = first
    local _, port = good:getsockname()
    local held = fill(hole, port)
    local former = green.dns.use(function() return {HOLE, GOOD} end)
    for _, opts in ipairs {{family = "inet"}, {bind = "127.0.0.1"}} do
      local conn <close> = green.with_timeout(20, green.connect, "x.test", port,
        opts)
      assert.equal(GOOD, conn and conn:getpeername())
    end
    green.dns.use(former)
    for _, sock in ipairs(held) do sock:close() end
  end)
end)
