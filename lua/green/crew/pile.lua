--- Piles: threads whose results are read in the order in which they were
--- spawned.
---
--- SPDX-License-Identifier: MIT

local crew = require "green.crew.crew"

return function(green, core)
  local methods <const> = core.crew_methods
  local mt = core.metatable("green.pile")
  local Pile = {}
  mt.__index = Pile

  --- Spawns f(...) as soon as the pool has room. May switch.
  ---@return green.thread
  function Pile:spawn(f, ...)
    crew.check_callable(f, 1, "spawn", 2)
    return methods.spawn_in(self.pool, self.bag, f, ...)
  end

  local function next_result(self)
    return methods.next(self.bag)
  end

  --- An iterator of i, ok, ... of what was spawned, and not read yet. An
  --- interrupted step is taken again by the next one.
  function Pile:results()
    return next_result, self
  end

  function mt.__close(self)
    crew.finish(self.bag, "nobody reads its result")
    crew.report_unread(self.bag)
  end
  mt.__gc = function(self)
    if self.bag then crew.abandon(self.bag) end
  end

  --- A pile with a pool of its own, of size n, or with the one given.
  ---@param pool integer|green.pool
  ---@return green.pile
  function green.pile(pool)
    if core.type(pool) ~= "pool" then
      if type(pool) ~= "number" or not (pool >= 1)
        or pool < math.huge and not math.tointeger(pool) then
        error(("bad argument #1 to 'pile' (pool or its size expected, got %s)")
          :format(pool == nil and "no value" or tostring(pool)), 2)
      end
      pool = green.pool(pool)
    end
    local bag = core.crew("green.crew", nil, "children")
    return setmetatable({pool = pool, bag = bag}, mt)
  end
end
