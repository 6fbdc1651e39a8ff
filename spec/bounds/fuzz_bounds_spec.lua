--- Some random programs of sandboxes: see spec/fuzz_bounds.lua, which runs them
--- for as long as one likes. The number of each is its seed.
---
--- SPDX-License-Identifier: MIT

local fuzz = require "spec.fuzz_bounds"
local help = require "spec.help"

--- Programs, and seconds after which no other is begun. The clock is real, so
--- each run is another one; the first seeds are others every minute.
local PROGRAMS <const>, SECONDS <const> = 20, 2

describe("random programs of sandboxes", function()
  it("keep their bounds", function()
    if os.getenv "LUAGREEN_SEED" then return fuzz.run(help.seed) end
    local first = os.time() // 60 % 100000
    local n = fuzz.run_for(SECONDS, first, function(seed, ok, err)
      if not ok then error(("seed %d: %s"):format(seed, tostring(err)), 0) end
    end, PROGRAMS)
    assert.is_true(n > 0)
  end)
end)
