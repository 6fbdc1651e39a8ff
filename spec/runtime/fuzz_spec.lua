-- Some random programs: see spec/fuzz.lua, which runs them for as long as one
-- likes. The number of each is its seed, and in the message when it fails.
--
-- SPDX-License-Identifier: MIT

local fuzz = require "spec.fuzz"
local help = require "spec.help"

--- Programs, and seconds after which no other is begun: on a slow machine.
local PROGRAMS <const>, SECONDS <const> = 300, 6

describe("random programs", function()
  it("keep to the model", function()
    if os.getenv "LUAGREEN_SEED" then return fuzz.run(help.seed) end
    local n = fuzz.run_for(SECONDS, 1, function(_, ok, err)
      if not ok then error(err, 0) end
    end, PROGRAMS)
    assert.is_true(n > 0)
  end)
end)
