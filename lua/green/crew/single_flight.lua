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

local function put(tree, way, run)
  local branch = tree
  for i = 1, #way - 1 do
    branch[way[i]] = branch[way[i]] or {}
    branch = branch[way[i]]
  end
  branch[way[#way]] = run
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

--- A finalizer may find a run that is just beginning: its call has another.
local function goes_on(run)
  local status = run and run.thread and run.thread:status()
  return status and status ~= "done" and status ~= "failed"
    and status ~= "killed"
end

--- A caller that waits for a run.
local Seat = {}

function Seat:__close()
  local run = self.run
  run.callers = run.callers - 1
  if run.callers > 0 then return end
  if find(run.tree, run.way) == run then remove(run.tree, run.way, 1) end
  if run.thread then run.thread:kill("no caller is left") end
end

local function take_seat(run)
  local seat = setmetatable({run = run}, Seat)
  run.callers = run.callers + 1
  return seat
end

--- Its first caller has a seat already: should this raise, the run ends.
local function start(run, f, ...)
  put(run.tree, run.way, run)
  run.thread = green.spawn(f, ...)
end

--- A function that runs f(...) once for all calls with equal arguments that
--- come until it is over.
---@param f function
---@return function
function green.single_flight(f)
  check.callable(f, 1, "single_flight")
  local tree = {}
  return function(...)
    local way = way_to(...)
    local run = find(tree, way)
    if not goes_on(run) then
      run = {tree = tree, way = way, callers = 0, thread = false}
    end
    local _ <close> = take_seat(run)
    if not run.thread then start(run, f, ...) end
    return run.thread:wait()
  end
end
