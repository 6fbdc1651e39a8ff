-- A thread that waited for the one that called os.exit was reported as failed:
-- it learned of the other's end before it was killed itself.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local function output_of(text)
  local output, how, code = help.child('local green = require "green"\n'
    .. text .. "\ngreen.sleep(60)")
  assert.equal("exit 3", how .. " " .. code)
  return output
end

describe("os.exit in a thread", function()
  it("is no failure of one that waits for it", function()
    assert.equal("", output_of [[
      green.spawn(function()
        green.spawn(function() os.exit(3, true) end):wait()
      end)]])
    assert.equal("", output_of [[
      green.spawn(function()
        green.wait_all {green.spawn(function() os.exit(3, true) end)}
      end)]])
    assert.equal("", output_of [[
      green.spawn(function()
        green.pool(2):map(function() os.exit(3, true) end, {1})
      end)]])
  end)

  it("leaves other errors to be told", function()
    assert.matches("failed: .*really", output_of [[
      green.spawn(function()
        pcall(green.sleep, 60)
        error "really"
      end)
      green.spawn(function() os.exit(3, true) end)]])
  end)
end)
