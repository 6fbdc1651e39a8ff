--- Single flight: equal calls that come while one is under way share its run.
---
--- A run is a green thread of its own. While somebody waits for it, it stands
--- in a tree with one level for the number of arguments and one for each of
--- them. The last caller to leave removes it and kills it if it is not over.
--- New calls ignore a run that is over, although its callers may not have woken
--- yet.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local check = require "green.runtime.check"
local ipairs, next, select, setmetatable = ipairs, next, select, setmetatable

--- Keys of the tree for values that cannot be keys themselves.
local NIL <const>, NAN <const> = {}, {}

local function key_of(value)
  if value == nil then return NIL end
  if value ~= value then return NAN end
  return value
end

--- The path through the tree to the run of these arguments.
local function way_to(...)
  local n = select("#", ...)
  local way = {n, ...}
  for i = 2, n + 1 do way[i] = key_of(way[i]) end
  return way
end

local function find(tree, way)
  local run = tree
  for _, key in ipairs(way) do
    run = run[key]
    if run == nil then return end
  end
  return run
end

--- Making tables may run finalizers, which begin and end runs, and may fail.
--- So the new branches are whole before the tree has them.
local function put(tree, way, run)
  local branches = {[#way] = run}
  for i = #way - 1, 1, -1 do
    branches[i] = {[way[i + 1]] = branches[i + 1]}
  end
  local branch = tree
  for i, key in ipairs(way) do
    if i == #way or not branch[key] then
      branch[key] = branches[i]
      return
    end
    branch = branch[key]
  end
end

--- Removes a run, and the branches that become empty.
local function remove(branch, way, i)
  local key = way[i]
  if i == #way then
    branch[key] = nil
  else
    remove(branch[key], way, i + 1)
    if next(branch[key]) == nil then branch[key] = nil end
  end
end

--- A caller that waits for a run. One that is ended below a debug hook leaves
--- when the collector finds its seat: no handler of <close> runs there.
local Seat = {}

function Seat:__close()
  local run = self.run
  if not run then return end
  self.run = false
  run.callers = run.callers - 1
  if run.callers > 0 then return end
  if find(run.tree, run.way) == run then remove(run.tree, run.way, 1) end
  if run.thread then run.thread:kill("no caller is left") end
end
Seat.__gc = Seat.__close

local flights = {}

--- A seat in the run of these arguments that is under way in the tree, or in a
--- new one. The caller closes it. A finalizer may find a run that is just
--- beginning: its call has another.
function flights.take_seat(tree, ...)
  local way, seat = way_to(...), setmetatable({run = false}, Seat)
  local run = find(tree, way)
  if not run or not run.thread or run.thread:has_ended() then
    run = {tree = tree, way = way, callers = 0, thread = false}
  end
  run.callers = run.callers + 1
  seat.run = run
  return seat
end

--- The thread of the run, and whether this caller, the first, has made it, to
--- run f(...). Should this raise, the run ends with the seat.
function flights.thread(seat, f, ...)
  local run = seat.run
  if run.thread then return run.thread, false end
  put(run.tree, run.way, run)
  run.thread = green.spawn(f, ...)
  return run.thread, true
end

--- A function that runs f(...) once for all calls with equal arguments that
--- come until it is over.
---@param f function
---@return function
function green.single_flight(f)
  check.callable(f, 1, "single_flight")
  local tree = {}
  return function(...)
    local seat <close> = flights.take_seat(tree, ...)
    return flights.thread(seat, f, ...):wait()
  end
end

return flights
