-- read(-1) of a file has Lua ask its allocator for SIZE_MAX bytes. Once there
-- was a sandbox, that was 7 bytes, into which the file was read.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local PROGRAM <const> = [[
require "green".sandbox {}
local f = assert(io.open(arg[0]))
for _ = 1, 100 do
  f:seek "set"
  local ok, err = pcall(f.read, f, -1)
  assert(not ok and err == "not enough memory", err)
end
assert(f:read(5))
io.write "whole"
]]

describe("a file's read(-1) beside a sandbox", function()
  it("is short of memory, as it is without", function()
    local out, how, code = help.child(PROGRAM)
    assert.same({"whole", "exit", 0}, {out, how, code})
  end)
end)
