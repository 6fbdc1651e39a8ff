-- While the program ended, a link to a thread that had ended by then was killed
-- before it ran, although links run whatever happens.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a link made while the program ends", function()
  it("runs, although its thread has ended", function()
    local out = help.child [[
      local green = require "green"
      local ended = green.spawn(function() end)
      green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          ended:link(function() print "linked" end)
          green.spawn(print, "never"):link(function() print "killed" end)
        end})
        green.sleep(60)
      end)
      ended:join()
    ]]
    assert.equal("linked\nkilled\n", out)
  end)
end)
