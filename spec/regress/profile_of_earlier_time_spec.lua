--- A profile of CPU time counted what had passed before it began, since the
--- last profile or the program's start, for the first stack it saw.
---
--- SPDX-License-Identifier: MIT

local green = require "green"

local function compute(s)
  local stop = os.clock() + s
  while os.clock() < stop do end
end

describe("a profile of CPU time", function()
  it("begins when it is begun", function()
    for _ = 1, 2 do
      compute(0.4)
      local before = os.clock()
      green.profile.start {hz = 1000}
      compute(0.05)
      local text = green.profile.stop()
      local took, sum = os.clock() - before, 0
      for us in text:gmatch " (%d+)\n" do sum = sum + us / 1e6 end
      assert.is_true(sum <= took + 0.02, text)
    end
  end)
end)
