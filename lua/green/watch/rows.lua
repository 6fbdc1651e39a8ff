--- What each thread has done within a stretch of time.
---
--- Accounting is on during that time only, and stays on if it was. Several may
--- measure at once.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local ipairs, math, setmetatable, table = ipairs, math, setmetatable, table

local rows = {}

local SUMS <const> = {"cpu", "switches", "blocked", "queue_delay"}

--- How many measure, and whether accounting was on before the first.
local users, was_on = 0, false

local function leave()
  users = users - 1
  if users > 0 then return end
  core.count_ended(false)
  green.config {accounting = was_on}
end

local user = setmetatable({}, {__close = leave})

local function enter()
  if users == 0 then
    was_on = green.config().accounting
    core.count_ended(true)
    green.config {accounting = true}
  end
  users = users + 1
  return user
end

--- All rows: those of live threads by id, of ended ones by name.
local function snapshot()
  local by_key = {}
  for _, row in ipairs(core.thread_rows()) do by_key[row.id] = row end
  for _, row in ipairs(core.ended_rows()) do by_key[row.name] = row end
  return by_key
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
  local before, from = snapshot(), green.now()
  green.sleep(s)
  local list, now = {}, green.now()
  local elapsed = math.max(now - from, 1e-9)
  for _, kind in ipairs {core.thread_rows(), core.ended_rows()} do
    for _, row in ipairs(kind) do
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

--- Sorts by that key, the greatest first; equal ones by their id.
function rows.sort(list, by)
  local key = KEYS[by]
  table.sort(list, function(a, b)
    local x, y = a[key] or -1, b[key] or -1
    if x ~= y then return x > y end
    if a.id and b.id then return a.id < b.id end
    if a.id or b.id then return a.id ~= nil end
    return a.name < b.name
  end)
end

--- One row for the threads of a name, with their sums, the longest wait and
--- what it is for.
function rows.group(list)
  local groups, by_name = {seconds = list.seconds}, {}
  for _, row in ipairs(list) do
    local g = by_name[row.name]
    if not g then
      g = {name = row.name, count = 0, ended = 0, cpu = 0, switches = 0,
        blocked = 0, queue_delay = 0, share = 0}
      by_name[row.name] = g
      groups[#groups + 1] = g
    end
    for _, name in ipairs(SUMS) do g[name] = g[name] + row[name] end
    g.share = g.share + row.share
    if row.ended then
      g.ended = g.ended + row.ended
    else
      g.count = g.count + 1
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
