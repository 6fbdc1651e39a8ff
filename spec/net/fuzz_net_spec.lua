-- Some random programs about streams: see spec/fuzz_net.lua, which runs them
-- for as long as one likes. The number of each is its seed.
--
-- SPDX-License-Identifier: MIT

local fuzz = require "spec.fuzz_net"

--- Programs, and seconds after which no other is begun: on a slow machine.
local PROGRAMS <const>, SECONDS <const> = 40, 5

describe("random programs that talk over streams", function()
  it("lose no byte, and get none that was not sent", function()
    local n = fuzz.run_for(SECONDS, 1, function(seed, ok, err)
      if not ok then error(("seed %d: %s"):format(seed, err), 0) end
    end, PROGRAMS)
    assert.is_true(n > 0)
  end)
end)
