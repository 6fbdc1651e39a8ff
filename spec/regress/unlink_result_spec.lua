-- unlink returned nothing for a thread that had rare things but no link.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("unlink", function()
  it("always answers with a boolean", function()
    local t = green.spawn(green.sleep, 60)
    green.sleep(0)
    t:kill()
    assert.same({n = 1, false}, table.pack(t:unlink(print)))
    t:join()
  end)
end)
