--- The page that top shows: a line about the program, one about each group of
--- threads. Without a terminal in sight: text in, text out.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local ipairs, math, table, tonumber, tostring, utf8 = ipairs, math, table,
  tonumber, tostring, utf8
local rows = require "green.watch.rows"

local page = {}

--- "12.3ms"
function page.time(s)
  if not s then return "-" end
  if s < 1e-3 then return ("%.0fus"):format(s * 1e6) end
  if s < 1 then return ("%.1fms"):format(s * 1e3) end
  if s < 1000 then return ("%.1fs"):format(s) end
  return ("%.1fh"):format(s / 3600)
end

--- A name may hold anything, and must stay on its line.
local function one_line(text)
  return (core.printable(text):gsub("[\t\n]", " "))
end

--- The first characters that fit in that width.
function page.cut(text, width)
  if (utf8.len(text) or #text) <= width then return text end
  local stop = utf8.offset(text, width + 1)
  return text:sub(1, (stop or width + 1) - 1)
end

--- What the first line tells, as one list of fields.
function page.status(list)
  local s = green.stats()
  local load = 0
  for _, row in ipairs(list) do load = load + row.share end
  return {green._VERSION, s.uptime, load, s.threads, s.ready, s.run_queue_max,
    s.lag.p50, s.lag.p99, s.lag.max}
end

function page.headline(status)
  return ("%s, up %s, load %.1f %%; %d threads, %d ready (%d at most); lag %s, "
    .. "99 %% %s, at most %s"):format(status[1], page.time(status[2]),
    status[3] * 100, status[4], status[5], status[6], page.time(status[7]),
    page.time(status[8]), page.time(status[9]))
end

--- A terminal of 80 columns has room for 18 characters of the name.
local COLUMNS <const> = "%7s %5s %8s %7s %7s %7s  %-14s %s"
page.columns = COLUMNS:format("threads", "cpu %", "switches", "blocked",
  "queued", "waits", "for", "name")

--- "#7" of one thread; of several their number, and "+3" of those that ended.
local function who(row)
  local ended = row.ended and row.ended > 0 and "+" .. row.ended or ""
  if row.id then return "#" .. row.id .. ended end
  return (row.count and row.count > 0 and tostring(row.count) or "") .. ended
end

function page.line(row)
  return COLUMNS:format(who(row), ("%.1f"):format(row.share * 100),
    row.switches, page.time(row.blocked), page.time(row.queue_delay),
    page.time(row.since), row.wait_for or row.status or "-",
    one_line(row.name))
end

--- One table, for the first `most` groups.
function page.text(list, by, most, width)
  local lines = {page.headline(page.status(list)), page.columns}
  local groups = rows.group(list)
  rows.sort(groups, by)
  for i = 1, math.min(#groups, most) do
    lines[#lines + 1] = page.cut(page.line(groups[i]), width)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- For a program at the other end: fields divided by tabs, a line for the
--- status, then one for each row.
local FIELDS <const> = {"id", "ended", "share", "cpu", "switches", "blocked",
                        "queue_delay", "since", "status", "wait_for", "name"}

function page.raw(list)
  local lines = {table.concat(page.status(list), "\t")}
  for _, row in ipairs(list) do
    local fields = {}
    for i, name in ipairs(FIELDS) do
      fields[i] = one_line(tostring(row[name] == nil and "" or row[name]))
    end
    lines[#lines + 1] = table.concat(fields, "\t")
  end
  return table.concat(lines, "\n") .. "\n"
end

local NUMBERS <const> = {id = true, ended = true, share = true, cpu = true,
  switches = true, blocked = true, queue_delay = true, since = true}

local function split(line)
  local fields = {}
  for field in (line .. "\t"):gmatch "([^\t]*)\t" do
    fields[#fields + 1] = field
  end
  return fields
end

--- A number that can be shown; nil: the text is none.
local function number(text)
  local n = tonumber(text)
  return n and n - n == 0 and n or nil
end

local COUNTS <const> = {[4] = true, [5] = true, [6] = true}

--- The fields of the first line; nil: it is another one.
local function parse_status(fields)
  if #fields ~= 9 then return nil end
  for i = 2, 9 do
    local n = number(fields[i])
    if COUNTS[i] then n = math.tointeger(n) end
    if not n then return nil end
    fields[i] = n
  end
  return fields
end

local SUMS <const> = {"share", "cpu", "switches", "blocked", "queue_delay",
                      "name"}

local function parse_row(fields)
  if #fields ~= #FIELDS then return nil end
  local row = {}
  for i, name in ipairs(FIELDS) do
    local value = fields[i]
    if NUMBERS[name] then value = number(value) end
    if value ~= "" then row[name] = value end
  end
  row.name = row.name or ""
  for _, name in ipairs(SUMS) do
    if not row[name] then return nil end
  end
  return row
end

--- The status and the rows of such a text; nil if it is another one.
function page.parse(text)
  local status, list
  for line in text:gmatch "[^\r\n]+" do
    local fields = split(line)
    if status then
      list[#list + 1] = parse_row(fields)
    else
      status, list = parse_status(fields), {}
      if not status then return nil end
    end
  end
  return status, list
end

return page
