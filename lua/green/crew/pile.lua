--- Piles: threads whose results are read in the order in which they were
--- spawned.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local crew = require "green.crew.crew"
local setmetatable, tostring = setmetatable, tostring

local methods <const> = core.crew_methods
local mt = core.metatable("green.pile")
local Pile = {}
mt.__index = Pile

--- Spawns f(...) as soon as the pool has room. May switch.
---@return green.thread
function Pile:spawn(f, ...)
  check.self(self, mt, "spawn")
  check.callable(f, 1, "spawn")
  return methods.spawn_in(self.pool, self.children, f, ...)
end

local function next_result(self)
  return methods.next(self.children)
end

--- An iterator of i, ok, ... over the threads that were spawned and not read
--- yet. After an interrupted step the next one takes it again.
function Pile:results()
  check.self(self, mt, "results")
  return next_result, self
end

mt.__close = methods.closing(function(self)
  check.self(self, mt, "__close")
  crew.finish(self.children, crew.UNREAD)
  crew.report_unread(self.children)
end, "children", crew.UNREAD)
mt.__gc = function(self)
  check.self(self, mt, "__gc")
  if self.children then crew.abandon(self.children) end
end

--- A pile with a pool of its own, of size n, or with the given one.
---@param pool integer|green.pool
---@return green.pile
function green.pile(pool)
  if core.type(pool) ~= "pool" then
    if not check.is_size(pool) then
      check.bad(1, "pile", "pool or its size expected, got %s",
        pool == nil and "no value" or tostring(pool))
    end
    pool = green.pool(pool)
  end
  local children = core.crew("green.crew", nil, "children")
  return setmetatable({pool = pool, children = children}, mt)
end
