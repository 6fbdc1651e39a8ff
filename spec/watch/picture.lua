--- Reads the pictures that green.trace draws: one entry a line.
---
--- SPDX-License-Identifier: MIT

local picture = {}

local function number(line, name)
  local text = line:match('"' .. name .. '":(%d+%.?%d*)')
  return text and tonumber(text)
end

--- Nanoseconds, exactly.
local function time(line, name)
  local us, ns = line:match('"' .. name .. '":(%d+)%.(%d%d%d)')
  return us and math.tointeger(us) * 1000 + math.tointeger(ns)
end

--- Its entries in their order, each {ph, name, cat, tid, ts, dur, id, line}.
function picture.entries(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local ph = line:match '"ph":"(.)"'
    if ph then
      list[#list + 1] = {ph = ph, name = line:match '^,?{"name":"(.-)"[,}]',
        cat = line:match '"cat":"(%w+)"', tid = number(line, "tid"),
        ts = time(line, "ts"), dur = time(line, "dur"),
        id = number(line, "id"), line = line}
    end
  end
  return list
end

--- The slices of each row, in order of time.
function picture.rows(entries)
  local rows = {}
  for _, e in ipairs(entries) do
    if e.ph == "X" then
      rows[e.tid] = rows[e.tid] or {}
      table.insert(rows[e.tid], e)
    end
  end
  return rows
end

--- Raises unless entries are in the order of time, the slices of each thread
--- tile its life, spans nest, and each arrow leads from a slice that ran to the
--- beginning of one.
function picture.check(entries)
  local rows, last = picture.rows(entries), 0
  for _, e in ipairs(entries) do
    assert(e.ph == "M" or e.ts >= last, "not in order: " .. e.line)
    last = e.ts or last
  end
  for tid, row in pairs(rows) do
    for i = 2, #row do
      local ends = row[i - 1].ts + row[i - 1].dur
      assert(tid == 0 and row[i].ts >= ends or row[i].ts == ends,
        ("a gap before %s"):format(row[i].line))
    end
  end
  picture.check_spans(entries)
  picture.check_arrows(entries, rows)
end

function picture.check_spans(entries)
  local open = {}
  for _, e in ipairs(entries) do
    open[e.tid] = open[e.tid] or {}
    local spans = open[e.tid]
    if e.ph == "B" then
      spans[#spans + 1] = e
    elseif e.ph == "E" then
      assert(table.remove(spans), "an end without a beginning: " .. e.line)
    end
  end
  for _, spans in pairs(open) do assert(#spans == 0, "a span is open") end
end

local function slice_at(row, ts)
  for _, e in ipairs(row or {}) do
    if e.ts <= ts and ts < e.ts + e.dur then return e end
  end
end

function picture.check_arrows(entries, rows)
  local from = {}
  for _, e in ipairs(entries) do
    local slice = (e.ph == "s" or e.ph == "f") and slice_at(rows[e.tid], e.ts)
    if e.ph == "s" then
      assert(slice and (slice.cat == "run" or slice.cat == "hub"),
        "an arrow from nowhere: " .. e.line)
      from[e.id] = e
    elseif e.ph == "f" then
      assert(from[e.id], "an arrow without a beginning: " .. e.line)
      assert(slice and slice.cat == "run" and slice.ts == e.ts,
        "an arrow to nowhere: " .. e.line)
    end
  end
end

--- Nanoseconds that a thread ran.
function picture.ran(rows, id)
  local sum = 0
  for _, e in ipairs(rows[id] or {}) do
    if e.cat == "run" then sum = sum + e.dur end
  end
  return sum
end

return picture
