--- What each thread has done within a stretch of time.
---
--- Accounting is on during that time, whatever the program's setting of it.
--- Several may measure at once, in several states on the hub, too.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local ipairs, math, pairs, setmetatable, table = ipairs, math, pairs,
  setmetatable, table

local rows = {}

local SUMS <const> = {"cpu", "switches", "blocked", "queue_delay"}

--- How many measure.
local users = 0

local function leave()
  users = users - 1
  if users == 0 then core.measure(false) end
end

local user = setmetatable({}, {__close = leave})

local function enter()
  if users == 0 then core.measure(true) end
  users = users + 1
  return user
end

--- Rows of which the caller goes through so many before the other threads have
--- a turn. Programs may have hundreds of thousands.
local TURN <const> = 1000

--- ipairs, with turns for the others. May switch.
function rows.each(list)
  local function step(_, i)
    if i % TURN == TURN - 1 then green.sleep(0) end
    i = i + 1
    local row = list[i]
    if row then return i, row end
  end
  return step, list, 0
end
local each = rows.each

--- All rows of this moment, of live and of ended threads; and the moment. It
--- takes long to make tables for many threads of what was noted then. May
--- switch.
local function take()
  local noted, n = core.note_rows()
  local ended, now, live = core.ended_rows(), green.now(), {}
  for i = 1, n do
    live[i] = core.tell_row(noted, i)
    if i % TURN == 0 then green.sleep(0) end
  end
  return live, ended, now
end

--- By id those of live threads, by name those of ended ones. May switch.
local function by_key(live, ended)
  local found = {}
  for _, row in each(live) do found[row.id] = row end
  for _, row in each(ended) do found[row.name] = row end
  return found
end

local function subtract(row, before)
  if not before then return end
  for _, name in ipairs(SUMS) do
    row[name] = math.max(row[name] - before[name], 0)
  end
  if row.ended then row.ended = row.ended - before.ended end
end

--- Fields are those of green.top.
local function finish(row, elapsed, now)
  row.share = row.cpu / elapsed
  if row.since then row.since = now - row.since end
  if row.ended then row.status = "ended" end
end

--- The rows of the s seconds that begin now. May switch.
---@param s number
---@return table[] list  with the seconds that it took as list.seconds
function rows.measure(s)
  local _ <close> = enter()
  local live, ended, from = take()
  local before, list = by_key(live, ended), {}
  green.sleep(math.max(from + s - green.now(), 0))
  local now
  live, ended, now = take()
  local elapsed = math.max(now - from, 1e-9)
  for _, kind in ipairs {live, ended} do
    for _, row in each(kind) do
      subtract(row, before[row.id or row.name])
      finish(row, elapsed, now)
      if row.ended ~= 0 then list[#list + 1] = row end
    end
  end
  list.seconds = elapsed
  return list
end

--- Keys by which to sort.
local KEYS <const> = {cpu = "cpu", switches = "switches", blocked = "blocked",
                      wait = "since"}
rows.keys = KEYS

--- The order by that key, the greatest first; equal ones by their id.
local function order(by)
  local key = KEYS[by]
  return function(a, b)
    local x, y = a[key] or -1, b[key] or -1
    if x ~= y then return x > y end
    if a.id and b.id then return a.id < b.id end
    if a.id or b.id then return a.id ~= nil end
    return a.name < b.name
  end
end

function rows.sort(list, by)
  table.sort(list, order(by))
end

--- Sorts, and leaves the first n; returns the last of these.
local function cut(list, before, n)
  table.sort(list, before)
  for i = #list, n + 1, -1 do list[i] = nil end
  return list[n]
end

--- The first n of that order. Sorting all at once would take long, so it sorts
--- some, with those of before that may be among the first. Lists come with the
--- newest threads first, and the oldest wait longest: so it begins with the
--- last. May switch.
function rows.first(list, by, n)
  local before, best, last = order(by), {seconds = list.seconds}, nil
  n = math.min(n, #list)
  for i = #list, 1, -1 do
    if i % TURN == 0 then green.sleep(0) end
    if not last or before(list[i], last) then
      best[#best + 1] = list[i]
      if #best >= 2 * n + 100 then last = cut(best, before, n) end
    end
  end
  cut(best, before, n)
  return best
end

--- Of a long list: the first n rows by each key, and of all others one row for
--- each name. May switch.
function rows.shorten(list, n)
  if #list <= n * 4 then return list end
  local short, chosen, rest = {seconds = list.seconds}, {}, {}
  for by in pairs(KEYS) do
    for _, row in ipairs(rows.first(list, by, n)) do
      if not chosen[row] then short[#short + 1] = row end
      chosen[row] = true
    end
  end
  for _, row in each(list) do
    if not chosen[row] then rest[#rest + 1] = row end
  end
  for _, group in ipairs(rows.group(rest)) do short[#short + 1] = group end
  return short
end

--- One row for the threads of a name, with their sums, the longest wait and
--- what it is for. May switch.
function rows.group(list)
  local groups, by_name = {seconds = list.seconds}, {}
  for _, row in each(list) do
    local live = row.count or row.ended and 0 or 1
    local g = by_name[row.name]
    if not g then
      g = {name = row.name, count = 0, ended = 0, cpu = 0, switches = 0,
        blocked = 0, queue_delay = 0, share = 0}
      by_name[row.name] = g
      groups[#groups + 1] = g
    end
    for _, name in ipairs(SUMS) do g[name] = g[name] + row[name] end
    g.share = g.share + row.share
    g.ended = g.ended + (row.ended or 0)
    if live > 0 then
      g.count = g.count + live
      g.id = g.count == 1 and row.id or nil
      g.status = g.count == 1 and row.status or nil
      if (row.since or 0) > (g.since or 0) then
        g.since, g.wait_for = row.since, row.wait_for
      end
    end
  end
  return groups
end

return rows
