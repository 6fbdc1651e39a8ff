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

--- Characters that take two columns of a terminal, and none: from, to.
local WIDE <const> = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf},
  {0xa960, 0xa97f}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
  {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
  {0x1f900, 0x1faff}, {0x20000, 0x3fffd}}
local NARROWEST <const> = {{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd},
  {0x610, 0x61a}, {0x64b, 0x65f}, {0x200b, 0x200f}, {0x202a, 0x202e},
  {0x2060, 0x2064}, {0x20d0, 0x20f0}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
  {0xfeff, 0xfeff}, {0xe0100, 0xe01ef}}

local function is_in(ranges, code)
  for _, range in ipairs(ranges) do
    if code <= range[2] then return code >= range[1] end
  end
  return false
end

local function columns_of(code)
  if code < 0x300 then return 1 end
  return is_in(WIDE, code) and 2 or is_in(NARROWEST, code) and 0 or 1
end

--- The first characters that fit in that width.
function page.cut(text, width)
  if #text <= width then return text end
  if not utf8.len(text) then return text:sub(1, width) end
  for at, code in utf8.codes(text) do
    width = width - columns_of(code)
    if width < 0 then return text:sub(1, at - 1) end
  end
  return text
end

--- What the first line tells, as one list of fields.
function page.status(list)
  local s = green.stats()
  local load = 0
  for _, row in ipairs(list) do load = load + row.share end
  return {green._VERSION, s.uptime, load, s.threads, s.ready, s.run_queue_max,
    s.lag.p50, s.lag.p99, s.lag.max}
end

--- Two lines about the program.
function page.head(status)
  return ("%s, up %s, load %.1f %%; %d threads, %d ready (%d at most)"):format(
    status[1], page.time(status[2]), status[3] * 100, status[4], status[5],
    status[6]), ("lag %s, 99 %% %s, at most %s"):format(page.time(status[7]),
    page.time(status[8]), page.time(status[9]))
end

--- "#7" of one thread; of several their number, and "+3" of those that ended.
local function who(row)
  local ended = row.ended and row.ended > 0 and "+" .. row.ended or ""
  if row.id then return "#" .. row.id .. ended end
  return (row.count and row.count > 0 and tostring(row.count) or "") .. ended
end

--- {title, width, of a row}; the name comes last.
local COLUMNS <const> = {
  {"threads", 7, who},
  {"cpu %", 5, function(row) return ("%.1f"):format(row.share * 100) end},
  {"switches", 8, function(row) return tostring(row.switches) end},
  {"blocked", 7, function(row) return page.time(row.blocked) end},
  {"queued", 7, function(row) return page.time(row.queue_delay) end},
  {"waits", 7, function(row) return page.time(row.since) end},
  {"for", -15, function(row) return row.wait_for or row.status or "-" end},
}
--- Where a terminal is narrow, these give way to the name, the first first.
local NARROW <const> = {"queued", "switches", "blocked", "for", "waits"}
local NAME <const> = 18

--- The columns for that width.
local function columns_for(width)
  local columns, left = {}, width - NAME
  for i, column in ipairs(COLUMNS) do
    columns[i], left = column, left - math.abs(column[2]) - 1
  end
  for _, title in ipairs(NARROW) do
    if left >= 0 then break end
    for i, column in ipairs(columns) do
      if column[1] == title then
        table.remove(columns, i)
        left = left + math.abs(column[2]) + 1
        break
      end
    end
  end
  return columns
end

local function join(columns, name, text)
  local parts = {}
  for i, column in ipairs(columns) do
    parts[i] = ("%" .. column[2] .. "s "):format(text(column))
  end
  return table.concat(parts) .. name
end

--- The line above those of rows, and a function that makes these.
function page.table(width)
  local columns = columns_for(width)
  local title = join(columns, "name", function(column) return column[1] end)
  return title, function(row)
    return join(columns, one_line(row.name), function(column)
      return column[3](row)
    end)
  end
end

--- One table, for the first `most` groups.
function page.text(list, by, most, width, status)
  local title, line = page.table(width)
  local lines = {page.head(status or page.status(list))}
  lines[#lines + 1] = title
  local groups = rows.group(list)
  rows.sort(groups, by)
  for i = 1, math.min(#groups, most) do
    lines[#lines + 1] = page.cut(line(groups[i]), width)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- For a program at the other end: fields divided by tabs, a line for the
--- status, then one for each row.
local FIELDS <const> = {"id", "ended", "share", "cpu", "switches", "blocked",
                        "queue_delay", "since", "status", "wait_for", "name",
                        "count"}
--- Rows of a long list that are told of one by one, for each order.
local MOST <const> = 500

--- May switch.
function page.raw(list)
  local lines = {table.concat(page.status(list), "\t")}
  for _, row in rows.each(rows.shorten(list, MOST)) do
    local fields = {}
    for i, name in ipairs(FIELDS) do
      fields[i] = one_line(tostring(row[name] == nil and "" or row[name]))
    end
    if not row.count then fields[#fields] = nil end -- it is one thread's
    lines[#lines + 1] = table.concat(fields, "\t")
  end
  return table.concat(lines, "\n") .. "\n"
end

local NUMBERS <const> = {id = true, ended = true, share = true, cpu = true,
  switches = true, blocked = true, queue_delay = true, since = true,
  count = true}

local function split(line)
  local fields = {}
  for field in (line .. "\t"):gmatch "([^\t]*)\t" do
    fields[#fields + 1] = field
  end
  return fields
end

--- The text as a number that can be shown, or nil.
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
  if #fields ~= #FIELDS and #fields ~= #FIELDS - 1 then return nil end
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
