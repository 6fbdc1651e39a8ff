-- A pool's map whose worker was killed raised "attempt to index a nil value":
-- it looked for the handle of a failed one only.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("pool:map", function()
  it("raises the killed object of a worker that is killed", function()
    local pool = green.pool(2)
    local reader = green.spawn(pool.map, pool, green.sleep, {100, 100})
    green.sleep(0)
    green.sleep(0)
    pool:kill("because")
    local ok, err = reader:join(1)
    assert.is_false(ok)
    assert.equal("killed", green.type(err))
    assert.equal("because", err.reason)
  end)
end)
