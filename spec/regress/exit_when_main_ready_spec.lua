-- os.exit(code, true) in a thread waited as long as main's next wait, if main
-- was ready at that moment and blocked again.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local script = [[
local green = require "green"
local e = green.event()
green.spawn(function()
  e:send(true)
  os.exit(7, true)
end)
e:wait()
green.sleep(1000)
]]

describe("os.exit with close in a green thread", function()
  it("ends the program at main's next wait, though main was ready", function()
    local name = os.tmpname()
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
    f:close()
    local _, _, code = os.execute(
      ("timeout 60 %s %s"):format(help.lua, name))
    os.remove(name)
    assert.equal(7, code)
  end)
end)
