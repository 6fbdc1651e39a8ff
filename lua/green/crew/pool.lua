--- Pools: a bounded number of threads at once.
---
--- C keeps the slots (bindings/crew/crew.c). A second crew gathers the results
--- of map and its kin; each worker belongs to it from birth, and their errors
--- go there.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local crew = require "green.crew.crew"
local error, math, select, setmetatable, tostring, type =
  error, math, select, setmetatable, tostring, type

local mt = core.metatable("green.pool")
local methods <const> = core.crew_methods
local Pool = {
  spawn = methods.spawn,
  spawn_n = methods.spawn_n,
  wait = methods.wait,
  resize = methods.resize,
  kill = methods.kill,
}
mt.__index = Pool
local spawn_in_n <const> = methods.spawn_in_n
local figures <const>, fields <const> = methods.figures, methods.fields
local next_of <const>, may_launch <const> = methods.next, methods.may_launch

--- How many workers run; one that lends its slot does not count.
function Pool:running()
  check.self(self, mt, "running")
  return (select(2, figures(self)))
end

--- How many more may run; negative after a resize to fewer.
function Pool:free()
  check.self(self, mt, "free")
  local _, used, limit = figures(self)
  return limit and limit - used or math.huge
end

--- The threads that wait to spawn.
Pool.waiting = methods.waiting

local function close(self, err)
  check.self(self, mt, "__close")
  local left, interruption = crew.join(self, err)
  if left then crew.finish(self, crew.LEFT) end
  methods.shut(self)
  if interruption ~= nil then error(interruption, 0) end
end

mt.__close = methods.closing(close, nil, crew.LEFT)

-- Work under way: its input, and a crew to which its threads belong.
local Work = {__name = "green.pool's work"}

local function begin(where, kind, pool, f, ...)
  if core.type(pool) ~= "pool" then
    check.misuse("calling '%s' on bad self (pool expected, got %s)", where,
      type(pool))
  end
  check.callable(f, 1, where)
  local step, closing = crew.steps(where, ...)
  local results = core.crew("green.crew", nil, kind)
  return setmetatable({pool = pool, f = f, step = step, closing = closing,
    results = results, read = 0}, Work)
end

--- When the work ends, for any reason, kills and joins running workers, and
--- closes the input.
Work.__close = methods.closing(function(self)
  check.self(self, Work, "__close")
  self.step = nil
  local _ <close> = self.closing
  self.closing = nil
  crew.finish(self.results, crew.UNREAD)
  crew.report_unread(self.results)
end, "results", crew.UNREAD)

--- An iterator was dropped half-way.
function Work.__gc(self)
  check.self(self, Work, "__gc")
  crew.abandon(self.results)
end

local function launch(work, more, ...)
  if more then
    spawn_in_n(work.pool, work.results, work.f, ...)
  else
    work.step = nil
  end
end

--- Starts as many workers as the pool has room for, but never more than its
--- size while results are unread. Waits for a slot only if nothing of this work
--- is under way.
local function fill(work)
  while work.step and may_launch(work.pool, work.results, work.read) do
    launch(work, work.step())
  end
end

--- The failed thread itself raises the first failure, since it knows the cause.
local function take(work, results, i, ok, value)
  if not i then return false end
  work.read = work.read + 1
  if not ok then fields(work.results).failed:wait(0) end
  results[i] = value
  return true
end

--- map(f, input): the list of first results, in order of the input. The
--- first failure kills the rest and is raised. May switch.
function Pool:map(f, ...)
  local work <close> = begin("map", "results", self, f, ...)
  local results = {}
  while work.step do
    launch(work, work.step())
    while take(work, results, next_of(work.results, 0)) do end
  end
  while take(work, results, next_of(work.results)) do end
  results.n = work.read
  return results
end

local function got(work, i, ...)
  if i then work.read = work.read + 1 end
  return i, ...
end

local function next_result(work)
  fill(work)
  return got(work, next_of(work.results))
end

--- imap(f, input): an iterator of i, ok, ... in order of the input. Left
--- early, it kills and joins the workers.
function Pool:imap(f, ...)
  local work = begin("imap", "children", self, f, ...)
  return next_result, work, nil, work
end

--- The same, as they end.
function Pool:imap_unordered(f, ...)
  local work = begin("imap_unordered", "results", self, f, ...)
  return next_result, work, nil, work
end

--- A pool of n workers; closing it joins them, or kills them first if an error
--- ended the block.
---@param n integer
---@return green.pool
function green.pool(n)
  if not check.is_size(n) then
    check.bad(1, "pool", "integer of at least 1 expected, got %s",
      n == nil and "no value" or tostring(n))
  end
  return core.crew("green.pool", n, "pool")
end
