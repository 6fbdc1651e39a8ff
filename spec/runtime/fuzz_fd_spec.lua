-- Some random programs about descriptors: see spec/fuzz_fd.lua, which runs them
-- for as long as one likes.
--
-- SPDX-License-Identifier: MIT

local fuzz = require "spec.fuzz_fd"
local preload = require "spec.preload"

--- Programs, and seconds after which no other is begun: on a slow machine.
local PROGRAMS <const>, SECONDS <const> = 60, 8

describe("random programs that do what they like to descriptors", function()
  teardown(preload.clean)

  it("keep to the model", function()
    assert.matches("^%d+ programs from seed 1, 0 failed",
      fuzz.run_for(SECONDS, 1, PROGRAMS))
  end)
end)
