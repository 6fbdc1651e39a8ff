-- A thread of spawn_after_local that was cancelled because its spawner had
-- ended was killed without a reason.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("spawn_after_local", function()
  it("gives what it cancels the reason of cancel()", function()
    local child
    green.spawn(function()
      child = green.spawn_after_local(60, print)
    end):wait()
    local ok, err = child:join(0)
    assert.is_false(ok)
    assert.equal("killed", child:status())
    assert.equal("killed", green.type(err))
    assert.equal("cancelled", err.reason)
    assert.equal("string", type(err.where))
  end)
end)
