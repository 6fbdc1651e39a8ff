-- green.connect with the option `family` or `bind` tried the addresses of a
-- name one after the other: the first one that swallowed packets took minutes.
-- SPDX-License-Identifier: MIT
local green = require "green"

local HOLE <const>, GOOD <const> = "127.0.0.3", "127.0.0.2"

--- A listener there whose backlog is full, and what fills it.
local function hole(port)
  local held = {assert(green.listen(HOLE, port, {backlog = 0}))}
  repeat
    local conn, err = green.connect(HOLE, port, {timeout = 0.1})
    held[#held + 1] = conn
  until err or #held > 9
  return held
end

describe("green.connect of one family, or from an address", function()
  it("passes an address that swallows packets by", function()
    local good <close> = assert(green.listen(GOOD, 0))
    local _, port = good:getsockname()
    local held = hole(port)
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
