-- Once there was a sandbox, the strings of a program had no methods any more if
-- the program's own __index of strings is a function.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local PROGRAM <const> = [[
local green = require "green"
local strings = getmetatable ""
local function find(s, name)
  if s and name == "slow" then coroutine.yield(s) end
  return string[name] or name .. " of " .. tostring(s)
end
strings.__index = %s
local box = green.sandbox {}
print(("x"):rep(3), ("x").y)
print(coroutine.wrap(function() return ("x").slow end)())
print(box:spawn "return ('x').rep == string.rep, ('x').y":wait())
]]

describe("a program's own __index of strings", function()
  it("goes on where there are sandboxes: a function", function()
    assert.same({"xxx\ty of x\nx\ntrue\tnil\n", "exit", 0},
      {help.child(PROGRAM:format "find")})
  end)

  it("goes on where there are sandboxes: a table with one", function()
    local program = PROGRAM:format("setmetatable({}, {__index = function(_, k) "
      .. "return find(nil, k) end})")
    assert.same({"xxx\ty of nil\nslow of nil\ntrue\tnil\n", "exit", 0},
      {help.child(program)})
  end)
end)
