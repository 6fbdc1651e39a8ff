--- green.profile: where the time goes, as folded stacks for a flame graph.
---
--- Each kind of profile is a row of `kinds`: begin(opts), and finish(), which
--- returns a list of stacks and their weights, one after the other, the unit in
--- which the file counts, and how many of the weights make one. A stack is the
--- thread's name and the functions from the outermost on, divided by
--- semicolons. Other modules add kinds.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local io, ipairs, math, pairs, require, table, type = io, ipairs, math, pairs,
  require, table, type

local profile = {}

---@class green.profile.kind
---@field begin fun(opts: table)
---@field finish fun(): table, string, number
local kinds = {cpu = require "green.bounds.cpu",
               alloc = require "green.bounds.alloc"}
profile.kinds = kinds

--- The kind that is on.
local running

kinds.blocked = {
  begin = function(opts) core.waits_begin(false, opts.by == "thread") end,
  finish = function() return core.waits_end(), "microseconds", 1000 end,
}

kinds.wall = {
  begin = function(opts) core.waits_begin(true, opts.by == "thread") end,
  finish = kinds.blocked.finish,
}

local known <const> = {what = "string", by = "string", hz = "number",
                       bytes = "integer"}

local function one_of(value, allowed, name, what)
  if allowed[value] then return value end
  local names = {}
  for key in pairs(allowed) do names[#names + 1] = key end
  table.sort(names)
  check.misuse("bad value for '%s' in '%s' (%s expected, got %s)", name, what,
    table.concat(names, ", "), check.shown(value))
end

--- Begins a profile. Raises if one is on.
---@param opts? {what: string, by: string, hz: number, bytes: integer}
function profile.start(opts)
  opts = check.options(opts, known, 1, "start")
  local what = one_of(opts.what or "cpu", kinds, "what", "start")
  one_of(opts.by or "name", {name = true, thread = true}, "by", "start")
  if opts.hz and not (opts.hz >= 1 and opts.hz <= 1000) then
    check.misuse("'hz' in 'start' is from 1 to 1000")
  end
  if opts.bytes and not (opts.bytes >= 1024 and opts.bytes <= 1 << 40) then
    check.misuse("'bytes' in 'start' is from 1024 to 2^40")
  end
  if running then check.misuse "a profile is on already" end
  kinds[what].begin(opts)
  running = kinds[what]
end

function profile.running() return running ~= nil end

--- Rows {stack, weight}, the greatest first, without those that round to 0.
local function rows_of(list, divisor)
  local rows = {}
  for i = 1, #list, 2 do
    local weight = math.tointeger(list[i + 1] // divisor) or 0
    if weight > 0 then rows[#rows + 1] = {list[i], weight} end
  end
  table.sort(rows, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    return a[1] < b[1]
  end)
  return rows
end

local formats = {}

function formats.folded(rows)
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = core.printable(row[1]) .. " " .. row[2] .. "\n"
  end
  return table.concat(lines)
end

--- The numbers of the frames of a stack.
local function frames_of(stack, frames, numbers)
  local sample = {}
  for frame in stack:gmatch "[^;]+" do
    if not numbers[frame] then
      frames[#frames + 1] = '{"name":"' .. core.json(frame) .. '"}'
      numbers[frame] = #frames - 1
    end
    sample[#sample + 1] = numbers[frame]
  end
  return "[" .. table.concat(sample, ",") .. "]"
end

function formats.speedscope(rows, unit)
  local frames, numbers, samples, weights, total = {}, {}, {}, {}, 0
  for i, row in ipairs(rows) do
    samples[i] = frames_of(row[1], frames, numbers)
    weights[i] = row[2]
    total = total + row[2]
  end
  return ('{"$schema":"https://www.speedscope.app/file-format-schema.json",'
    .. '"shared":{"frames":[%s]},"profiles":[{"type":"sampled","name":"%s",'
    .. '"unit":"%s","startValue":0,"endValue":%d,"samples":[%s],'
    .. '"weights":[%s]}]}\n'):format(table.concat(frames, ",\n"),
    green._VERSION, unit == "samples" and "none" or unit, total,
    table.concat(samples, ",\n"), table.concat(weights, ","))
end

local function write_file(path, text)
  if not io then return nil, "the library 'io' is not loaded" end
  local file, err = io.open(path, "w")
  if not file then return nil, err end
  local ok, why = file:write(text)
  local closed, late = file:close() -- it writes what the file has kept
  if ok and closed then return true end
  return nil, path .. ": " .. (why or late)
end

--- Ends the profile: to the file of that name, or as a string.
---@param file? string
---@param format? "folded"|"speedscope"
---@return string|true|nil text
---@return string? err
function profile.stop(file, format)
  if file ~= nil and type(file) ~= "string" then
    check.value(file, "string", 1, "stop")
  end
  format = one_of(format or "folded", formats, "format", "stop")
  if not running then check.misuse "no profile is on" end
  local list, unit, divisor = running.finish()
  running = nil
  local text = formats[format](rows_of(list, divisor), unit)
  if file then return write_file(file, text) end
  return text
end

return profile
