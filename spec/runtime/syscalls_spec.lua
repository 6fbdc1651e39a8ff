-- System calls that fail: see spec/syscalls.lua, which tries as many cases as
-- one likes, or all of them.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"
local syscalls = require "spec.syscalls"

--- For so long, on whatever machine.
local SECONDS <const> = 8

describe("a system call that fails", function()
  teardown(preload.clean)

  it("costs an error or another try, and nothing else", function()
    local seed = tonumber(os.getenv "LUAGREEN_SEED") or 1
    local out = syscalls.run_for(SECONDS, seed)
    assert.matches("^%d+ cases, 0 failed", out)
  end)
end)
