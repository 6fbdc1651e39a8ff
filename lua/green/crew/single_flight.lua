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

local function is_over(thread)
  local status = thread:status()
  return status == "done" or status == "failed" or status == "killed"
end

--- A caller that waits for a run.
local Seat = {}

function Seat:__close()
  local run = self.run
  run.callers = run.callers - 1
  if run.callers > 0 then return end
  if find(run.tree, run.way) == run then remove(run.tree, run.way, 1) end
  run.thread:kill("no caller is left")
end

local function take_seat(run)
  local seat = setmetatable({run = run}, Seat)
  run.callers = run.callers + 1
  return seat
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
    if not run or is_over(run.thread) then
      run = {tree = tree, way = way, callers = 0,
        thread = green.spawn(f, ...)}
      put(tree, way, run)
    end
    local _ <close> = take_seat(run)
    return run.thread:wait()
  end
end
