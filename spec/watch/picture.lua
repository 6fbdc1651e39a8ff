--- Reads the pictures that green.trace draws: one entry a line.
---
--- SPDX-License-Identifier: MIT

local picture = {}

local function number(line, name)
  local text = line:match('"' .. name .. '":(%d+%.?%d*)')
  return text and tonumber(text)
end

--- Nanoseconds; durations lack a tenth of one.
local function time(line, name)
  local us = line:match('"' .. name .. '":(%d+%.%d+)')
  return us and math.floor(us * 1000 + 0.5)
end

--- Its entries in their order, each {ph, name, cat, tid, ts, dur, id, line}.
function picture.entries(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local ph = line:match '"ph":"(.)"'
    if ph then
      list[#list + 1] = {ph = ph, cat = line:match '"cat":"(%w+)"',
        name = line:match '^,?{"name":"(.-)"[,}]',
        pid = number(line, "pid"), tid = number(line, "tid"),
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

--- The number of the hub's row.
function picture.hub(entries)
  for _, e in ipairs(entries) do
    if e.ph == "M" and e.line:find('"args":{"name":"hub"}', 1, true) then
      return e.tid
    end
  end
end

--- Raises unless entries are in the order of time, the slices of each thread
--- tile its life, spans nest, each arrow leads from a slice that ran to the
--- beginning of one, and Perfetto draws all of it.
function picture.check(entries)
  local rows, last = picture.rows(entries), 0
  local hub = picture.hub(entries)
  for _, e in ipairs(entries) do
    assert(e.ph == "M" or e.ts >= last, "not in order: " .. e.line)
    last = e.ts or last
  end
  for tid, row in pairs(rows) do
    for i = 2, #row do
      local ends = row[i - 1].ts + row[i - 1].dur
      assert(tid == hub and row[i].ts >= ends or row[i].ts == ends,
        ("a gap before %s"):format(row[i].line))
    end
  end
  picture.check_spans(entries)
  picture.check_arrows(entries, rows)
  picture.import(entries)
end

--- Numbers are 32 bits and not 0, which stands for "none"; each row has one
--- name; counters have values.
local function check_numbers(entries)
  local names, pid = {}, nil
  for _, e in ipairs(entries) do
    pid = pid or e.pid
    assert(e.pid == pid and pid > 0, "another process: " .. e.line)
    if e.line:find '"name":"thread_name"' then
      assert(not names[e.tid], "two rows of one number: " .. e.line)
      names[e.tid] = true
    end
    local bare = e.name == "process_name"
    assert(bare or e.tid > 0 and e.tid < 1 << 32, "no row: " .. e.line)
    assert(bare or names[e.tid], "a row without a name: " .. e.line)
    assert(e.ph ~= "C" or e.line:find '"args":{"[^"]+":%-?%d', e.line)
    if e.ph == "X" then
      assert(e.dur > 0 and e.line:find '"dur":%d+%.%d%d%d9[,}]', e.line)
    end
  end
end

--- As Perfetto's importer keeps the stack of a row: an ended slice goes, a
--- slice lies within the one below, an end takes the innermost span.
local function import(stack, e)
  while #stack > 0 and stack[#stack].ends <= e.ts do table.remove(stack) end
  local top = stack[#stack]
  if e.ph == "X" then
    assert(not top or e.ts + e.dur <= top.ends, "overlaps: " .. e.line)
    stack[#stack + 1] = {cat = e.cat, from = e.ts, ends = e.ts + e.dur}
  elseif e.ph == "B" then
    assert(not top or top.ends == math.huge, "within a slice: " .. e.line)
    stack[#stack + 1] = {cat = "span", from = e.ts, ends = math.huge,
                         name = e.name}
  elseif e.ph == "E" then
    assert(top and top.ends == math.huge, "no span ends here: " .. e.line)
    assert(e.name == top.name, "another span ends: " .. e.line)
    table.remove(stack)
  end
  return top
end

--- As speedscope and catapult see it, which add in floating point.
local function check_sums(entries)
  local ends = {}
  for _, e in ipairs(entries) do
    if e.ph == "X" then
      local ts, dur = number(e.line, "ts"), number(e.line, "dur")
      assert(ts > (ends[e.tid] or -1), "begins too early: " .. e.line)
      ends[e.tid] = ts + dur
    end
  end
end

--- Imports the entries as Perfetto does, and raises for what it would drop or
--- move. An arrow belongs to the slice on top of its row at that time. Catapult
--- also takes a slice that ends at that time for one; so an arrow ends within
--- its slice.
function picture.import(entries)
  check_numbers(entries)
  check_sums(entries)
  local stacks, begun = {}, {}
  for _, e in ipairs(entries) do
    if e.tid then stacks[e.tid] = stacks[e.tid] or {} end
    if e.ph ~= "M" then
      local top = import(stacks[e.tid], e)
      if e.ph == "s" then
        assert(not begun[e.id], "an arrow's number again: " .. e.line)
        assert(top and (top.cat == "run" or top.cat == "hub"), e.line)
        begun[e.id] = true
      elseif e.ph == "f" then
        assert(e.line:find('"bp":"e"', 1, true) and begun[e.id], e.line)
        assert(top and top.cat == "run" and top.from < e.ts, e.line)
      end
    end
  end
end

function picture.check_spans(entries)
  local open = {}
  for _, e in ipairs(entries) do
    local spans = open[e.tid or 0] or {}
    open[e.tid or 0] = spans
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
      assert(slice and slice.cat == "run" and slice.ts == e.ts - 1,
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
