--- What the specs of pools ask of a pool and of its workers.
---
--- SPDX-License-Identifier: MIT

local assert = require "luassert"
local green = require "green"

local pools = {}

--- Nothing of the pool is left.
function pools.at_rest(pool, size)
  assert.equal(0, pool:running())
  assert.equal(size, pool:free())
  assert.equal(0, pool:waiting())
end

function pools.settled(pool, size)
  pool:wait()
  pools.at_rest(pool, size)
end

--- Counts how many run at once.
function pools.counter()
  local c = {now = 0, most = 0, done = 0}
  function c.begin()
    c.now = c.now + 1
    c.most = math.max(c.most, c.now)
    return setmetatable({}, {__close = function()
      c.now = c.now - 1
      c.done = c.done + 1
    end})
  end
  return c
end

function pools.killed(err)
  return green.type(err) == "killed"
end

return pools
