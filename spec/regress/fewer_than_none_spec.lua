-- With io patched, read(-1) of a pipe returned "" for ever: a loop over
-- lines(-1) never ended. Lua's own is short of memory.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local PROGRAM <const> = [[
local green = require "green"
green.monkey_patch()
green.spawn(function()
  local pipe <close> = io.popen "echo text"
  local ok, err = pcall(pipe.read, pipe, -1)
  assert(not ok and err:find("bad argument #1 to 'read' " ..
    "(at least 0 expected, got -1)", 1, true), err)
  ok, err = pcall(function() for _ in pipe:lines(1, -1) do end end)
  assert(not ok and err:find("bad argument #2 to 'read'", 1, true), err)
  assert(pipe:read(0) == "" and pipe:read "l" == "ext")
  io.write "whole"
end):wait()
]]

describe("read(-1) of a pipe, with io patched", function()
  it("raises, and so does an iterator", function()
    local out, how, code = help.child(PROGRAM)
    assert.same({"whole", "exit", 0}, {out, how, code})
  end)
end)
