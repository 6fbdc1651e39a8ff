-- With a limit of 0, a closed descriptor counted as ready.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("wait_fd on a descriptor that is not open", function()
  for _, limit in ipairs {0, 1} do
    it("says closed, with a limit of " .. limit, function()
      assert.same({nil, "closed"}, {green.wait_fd(9999, "r", limit)})
      assert.same({nil, "closed"}, {green.wait_fd(-1, "r", limit)})
    end)
  end
end)
