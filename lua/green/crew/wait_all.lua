--- Waiting for many threads and events: all of them, or one after the other as
--- they end.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local crew = require "green.crew.crew"
local error, math, pairs, pcall, select, setmetatable, tonumber, tostring,
  type =
  error, math, pairs, pcall, select, setmetatable, tonumber, tostring, type

local methods <const> = core.crew_methods
local next_of <const> = methods.next

-- Watches a list of threads and events. Errors that come after its end stay
-- with their threads. Earlier errors that were not read go to on_error, except
-- those older than the watch: `known`.
local Watch = {__name = "green.as_completed's watch"}

local function has_failed(thing)
  return core.type(thing) == "thread" and thing:status() == "failed"
end

function Watch.__close(self)
  check.self(self, Watch, "__close")
  methods.let_go(self.results)
  for i, thing in pairs(self.things) do
    self.things[i] = nil
    if has_failed(thing) and not self.known[thing] then
      self.known[thing] = true
      crew.report(select(2, thing:join(0)), thing)
    end
  end
end
Watch.__gc = Watch.__close

local function note_known(w, thing)
  if has_failed(thing) then w.known[thing] = true end
end

local function watch(where, list)
  if type(list) ~= "table" then
    check.bad(1, where, "list expected, got %s", type(list))
  end
  local results = core.crew("green.crew", nil, "watched")
  local w = setmetatable({results = results, things = methods.fields(results),
    known = {}}, Watch)
  local n, hole = core.list_length(list)
  for i = 1, hole or n do
    local ok, err = pcall(methods.add, results, list[i])
    if not ok then
      Watch.__close(w)
      check.bad(1, where, "item %d: %s", i, tostring(err))
    end
    note_known(w, w.things[i])
  end
  return w
end

--- Takes the thing with the number that next_of returned.
local function take(w, i)
  local thing = w.things[i]
  w.things[i] = nil
  if core.type(thing) == "thread" then w.known[thing] = true end
  return thing
end

local function left(deadline, s)
  if not deadline or s <= 0 then return s end
  return math.max(0, deadline - core.now())
end

--- Waits for each thread or event of the list: their first values, as a list
--- with n. Raises the first failure as it happens; the others go on. May
--- switch.
---@param list (green.thread|green.event)[]
---@param s? number  time limit in seconds
---@return table?, "timeout"?
function green.wait_all(list, s)
  check.limit(s, 2, "wait_all")
  s = tonumber(s)
  local deadline = s and core.now() + s
  local w <close> = watch("wait_all", list)
  local results = {n = #list}
  if results.n == 0 then next_of(w.results, s) end -- may be interrupted
  for n = 1, results.n do
    local i, err = n > 1 and next_of(w.results, 0)
    if not i then i, err = next_of(w.results, left(deadline, s)) end
    if not i then return nil, err end
    local thing = take(w, i)
    local ok, value = core.outcome(thing)
    if not ok then
      if core.type(thing) == "thread" then thing:wait(0) end
      error(value, 0)
    end
    results[i] = value
  end
  return results
end

local function next_outcome(w)
  local i = next_of(w.results)
  if not i then return nil end
  return i, core.outcome(take(w, i))
end

--- What closes a watch, and shows nothing of it: what a script of a sandbox
--- could put there would meet the collector, which nothing interrupts.
local function closer(w)
  return setmetatable({}, {__name = Watch.__name,
    __close = function() Watch.__close(w) end})
end

--- An iterator of i, ok, ... over threads and events, as they end. Its steps
--- may switch.
---@param list (green.thread|green.event)[]
function green.as_completed(list)
  local w = watch("as_completed", list)
  local closing = closer(w)
  return function() return next_outcome(w) end, nil, nil, closing
end
