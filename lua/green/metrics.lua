--- green.metrics: counters, gauges and histograms, and Prometheus' text form
--- (0.0.4) of them.
---
--- A metric has a series for each combination of labels that it was called
--- with; its text is made once. A label from a peer may be any text, so a
--- metric has at most MOST series: all others count as one, "overflow".
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local report = require "green.runtime.report"
local builtin = require "green.watch.builtin"
local as_text = require "green.runtime.text".of
local error, ipairs, math, pairs, pcall, setmetatable, table, tonumber,
  tostring, type, utf8 = error, ipairs, math, pairs, pcall, setmetatable, table,
  tonumber, tostring, type, utf8

local metrics = {}

local MOST <const> = 1000
--- Lines between two turns of the other threads.
local TURN <const> = 100
--- Bounds of a histogram, in seconds, unless the program has others.
local BUCKETS <const> = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
                         10}

---@class green.metrics.Family
---@field name string
---@field kind string
---@field help string
---@field labels string[]
---@field known table<string, boolean>  the names of its labels
---@field series table[]     in the order of their beginnings
---@field by_key table<string, table>   by the values of the labels
---@field by_text table<string, table>  by the text of the labels
---@field buckets? number[]

--- All families by name, and in order.
local families, in_order = {}, {}

--- The lines of a histogram have other names than itself.
local SUFFIXES <const> = {"_bucket", "_sum", "_count"}
--- The names of such lines: true of each.
local line_names = {}
for _, suffix in ipairs(SUFFIXES) do
  line_names[builtin.histogram .. suffix] = true
end

----------------------------------------------------------------------- text --

local ESCAPES <const> = {["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"'}

--- The form must be UTF-8, and its readers stop at a zero; other bytes are
--- shown as a terminal would.
local function clean(text)
  if not utf8.len(text) or text:find("\0", 1, true) then
    return core.printable(text)
  end
  return text
end

local function quoted(text)
  return '"' .. clean(text):gsub('[\\\n"]', ESCAPES) .. '"'
end

local function help_text(text)
  return (clean(text):gsub("[\\\n]", ESCAPES))
end

--- A number; a locale may have a comma in it.
local function number(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "+Inf" end
  if value == -math.huge then return "-Inf" end
  local whole = math.tointeger(value)
  if whole then return ("%d"):format(whole) end
  local short = ("%.15g"):format(value)
  if tonumber(short) ~= value then short = ("%.17g"):format(value) end
  return (short:gsub(",", "."))
end

--- 'method="GET",code="200"', of the labels in their order.
local function label_text(names, values)
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = name .. "=" .. quoted(values[i])
  end
  return table.concat(parts, ",")
end

--------------------------------------------------------------------- series --

--- Different values may have one text, since bytes that are no UTF-8 are shown
--- as others: they are one series.
local function series_with(family, names, values)
  local text = label_text(names, values)
  local series = family.by_text[text]
  if series then return series end
  series = {labels = text}
  family.by_text[text] = series
  if family.buckets then
    series.counts, series.sum, series.count = {}, 0, 0
    for i = 1, #family.buckets do series.counts[i] = 0 end
  else
    series.value = 0
  end
  table.insert(family.series, series)
  return series
end

local function overflow(family)
  if not family.rest then
    report.line("the metric %s has %d series: further ones are 'overflow'",
      family.name, MOST)
    local values = {}
    for i = 1, #family.labels do values[i] = "overflow" end
    family.rest = series_with(family, family.labels, values)
  end
  return family.rest
end

local NONE <const> = {}

local function value_text(value)
  if value == nil then return "" end
  local text = tostring(value)
  return text:find("\0", 1, true) and clean(text) or text
end

--- The series of those labels: a table by name. Labels that are left out are
--- empty.
local function series_of(family, labels, n, what)
  local names, values = family.labels, {}
  if labels ~= nil then check.value(labels, "table", n, what) end
  for name in pairs(labels or NONE) do
    if not family.known[name] then
      check.misuse("the metric %s has no label '%s'", family.name,
        tostring(name))
    end
  end
  for i, name in ipairs(names) do
    values[i] = value_text(labels and labels[name])
  end
  local key = table.concat(values, "\0")
  local series = family.by_key[key]
  if series then return series end
  if #family.series >= MOST and #names > 0 then return overflow(family) end
  local before = #family.series
  series = series_with(family, names, values)
  -- Another text of a series has no key, or a peer could make any number.
  if #family.series > before then family.by_key[key] = series end
  return series
end

--- Lua's integers wrap around, which would make a counter fall.
local function sum(a, b)
  local result = a + b
  if (result >= a) == (b >= 0) then return result end
  return a + 0.0 + b
end

local function amount(value, n, what)
  if value == nil then return 1 end
  return check.value(value, "number", n, what)
end

-------------------------------------------------------------------- classes --

local Counter = {}
Counter.__index = Counter
Counter.__name = "green.counter"

--- Adds n, 1 by default. Never switches.
function Counter:inc(n, labels)
  check.self(self, Counter, "inc")
  n = amount(n, 1, "inc")
  if n < 0 then check.bad(1, "inc", "a counter never falls") end
  local series = series_of(self.family, labels, 2, "inc")
  series.value = sum(series.value, n)
end

local Gauge = {}
Gauge.__index = Gauge
Gauge.__name = "green.gauge"

local function change(self, n, labels, what, sign)
  check.self(self, Gauge, what)
  local series = series_of(self.family, labels, 2, what)
  series.value = sum(series.value, sign * amount(n, 1, what))
end

function Gauge:inc(n, labels) change(self, n, labels, "inc", 1) end
function Gauge:dec(n, labels) change(self, n, labels, "dec", -1) end

function Gauge:set(value, labels)
  check.self(self, Gauge, "set")
  check.value(value, "number", 1, "set")
  series_of(self.family, labels, 2, "set").value = value
end

local Histogram = {}
Histogram.__index = Histogram
Histogram.__name = "green.histogram"

local function observe(family, value, labels, n, what)
  local series = series_of(family, labels, n, what)
  for i, bound in ipairs(family.buckets) do
    if value <= bound then
      series.counts[i] = series.counts[i] + 1
      break
    end
  end
  series.sum = sum(series.sum, value)
  series.count = series.count + 1
end

function Histogram:observe(value, labels)
  check.self(self, Histogram, "observe")
  check.value(value, "number", 1, "observe")
  observe(self.family, value, labels, 2, "observe")
end

--- Observes how many seconds f(...) takes, also if it raises; returns its
--- results. May switch, as f does.
function Histogram:time(f, ...)
  check.self(self, Histogram, "time")
  check.callable(f, 1, "time")
  local from, family = green.now(), self.family
  local _ <close> = setmetatable({}, {__close = function()
    observe(family, green.now() - from, nil, 1, "time")
  end})
  return f(...)
end

---------------------------------------------------------------- registration --

local function check_labels(labels, n, what)
  local names, known = {}, {}
  for i, name in ipairs(check.value(labels or {}, "table", n, what)) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$"
      or name:find "^__" or name == "le" or known[name] then
      check.bad(n, what, "names of labels expected, got %s", check.shown(name))
    end
    names[i], known[name] = name, true
  end
  return names, known
end

local function check_buckets(buckets, n, what)
  if buckets == nil then return BUCKETS end
  local copy = {}
  for i, bound in ipairs(check.value(buckets, "table", n, what)) do
    if type(bound) ~= "number" or bound ~= bound or bound == math.huge
      or i > 1 and bound <= copy[i - 1] then
      check.bad(n, what, "rising numbers expected")
    end
    copy[i] = bound
  end
  return copy
end

local function same(a, b)
  if not a or not b then return a == b end
  return table.concat(a, "\0") == table.concat(b, "\0")
end

--- Making a metric again, as a reloaded module does, gives the same one.
local function former(family, kind, labels, buckets)
  if family.kind == kind and same(family.labels, labels)
    and same(family.buckets, buckets) then
    return family.object
  end
  check.misuse("the metric %s exists and is another one", family.name)
end

--- Has no metric of the runtime that name, nor a line of a histogram?
local function is_free(name)
  return name:find "^[%a_:][%w_:]*$" and not builtin.names[name]
    and not line_names[name]
end

--- The names of a histogram's lines must be its own.
local function take_line_names(name)
  for _, suffix in ipairs(SUFFIXES) do
    if not is_free(name .. suffix) or families[name .. suffix] then
      check.bad(1, "histogram", "the metric %s%s exists", name, suffix)
    end
  end
  for _, suffix in ipairs(SUFFIXES) do line_names[name .. suffix] = true end
end

local function register(class, kind, name, help, labels, buckets)
  check.value(name, "string", 1, kind)
  check.value(help, "string", 2, kind)
  if not is_free(name) then
    check.bad(1, kind, "name of a metric expected, got %q", name)
  end
  local names, known = check_labels(labels, buckets and 4 or 3, kind)
  if families[name] then
    return former(families[name], kind, names, buckets)
  end
  if buckets then take_line_names(name) end
  local family = {name = name, kind = kind, help = help, labels = names,
    known = known, buckets = buckets, series = {}, by_key = {}, by_text = {}}
  family.object = setmetatable({family = family}, class)
  families[name] = family
  in_order[#in_order + 1] = family
  if #names == 0 then series_of(family, nil, 1, kind) end
  return family.object
end

--- Makes a metric that only rises; its name ends in "_total". Never switches.
---@param name string
---@param help string
---@param labels? string[]
function metrics.counter(name, help, labels)
  check.value(name, "string", 1, "counter")
  if not name:find "_total$" then
    check.bad(1, "counter", "name that ends in _total expected, got %q", name)
  end
  return register(Counter, "counter", name, help, labels)
end

function metrics.gauge(name, help, labels)
  return register(Gauge, "gauge", name, help, labels)
end

function metrics.histogram(name, help, buckets, labels)
  check.value(name, "string", 1, "histogram")
  return register(Histogram, "histogram", name, help, labels,
    check_buckets(buckets, 3, "histogram"))
end

local collectors = {}

--- f(emit) is called at each scrape. Never switches.
function metrics.collect(f)
  check.callable(f, 1, "collect")
  collectors[#collectors + 1] = f
end

------------------------------------------------------------------- scraping --

local function head(out, name, kind, help)
  if help ~= "" then
    out[#out + 1] = ("# HELP %s %s\n"):format(name, help_text(help))
  end
  out[#out + 1] = ("# TYPE %s %s\n"):format(name, kind)
end

local function line(out, name, labels, value)
  if labels ~= "" then labels = "{" .. labels .. "}" end
  out[#out + 1] = name .. labels .. " " .. number(value) .. "\n"
end

--- Cumulative, as the form has it.
local function histogram_lines(out, family, series)
  local labels, below = series.labels, 0
  local before = labels == "" and "" or labels .. ","
  for i, bound in ipairs(family.buckets) do
    below = below + series.counts[i]
    line(out, family.name .. "_bucket",
      ('%sle="%s"'):format(before, number(bound)), below)
  end
  line(out, family.name .. "_bucket", before .. 'le="+Inf"', series.count)
  line(out, family.name .. "_sum", labels, series.sum)
  line(out, family.name .. "_count", labels, series.count)
end

--- Gives the others a turn after each TURN lines.
local function pause(out)
  if #out - out.paused < TURN then return end
  out.paused = #out
  core.turn()
end

local function family_lines(out, family)
  head(out, family.name, family.kind, family.help)
  for _, series in ipairs(family.series) do
    if family.buckets then
      histogram_lines(out, family, series)
    else
      line(out, family.name, series.labels, series.value)
    end
    pause(out)
  end
end

local function sorted_names(labels)
  local names = {}
  for name in pairs(labels) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function check_emit(name, value, labels, help)
  check.value(name, "string", 1, "emit")
  check.value(value, "number", 2, "emit")
  if not is_free(name) or families[name] then
    check.bad(1, "emit", "name of another metric expected, got %q", name)
  end
  if labels ~= nil then check.value(labels, "table", 3, "emit") end
  if help ~= nil then check.value(help, "string", 4, "emit") end
end

--- Returns emit(name, value [, labels [, help]]), which gathers by name: the
--- form has all lines of a name together, and no line twice.
local function emitter(gathered)
  return function(name, value, labels, help)
    check_emit(name, value, labels, help)
    local names, values = check_labels(sorted_names(labels or NONE), 3, "emit"),
      {}
    for i, key in ipairs(names) do values[i] = value_text(labels[key]) end
    local family = gathered[name]
    if not family then
      family = {name = name, help = help or "", series = {}, by_text = {},
        kind = name:find "_total$" and "counter" or "gauge"}
      gathered[name] = family
      table.insert(gathered, family)
    end
    series_with(family, names, values).value = value
  end
end

local function gather()
  local gathered = {}
  local emit = emitter(gathered)
  for _, f in ipairs(collectors) do
    local ok, err = pcall(f, emit)
    if not ok then
      local kind = green.type(err)
      if kind == "killed" or kind == "timeout" then error(err, 0) end
      report.line("a collector of metrics failed: %s", as_text(err))
    end
  end
  return gathered
end

--- All metrics, as text/plain; version=0.0.4. May switch.
---@return string
function metrics.text()
  local out = {paused = 0}
  for _, family in ipairs(builtin.families()) do family_lines(out, family) end
  for _, family in ipairs(in_order) do family_lines(out, family) end
  for _, family in ipairs(gather()) do family_lines(out, family) end
  return table.concat(out)
end

--- What an answer over HTTP says of the text.
metrics.content_type = "text/plain; version=0.0.4; charset=utf-8"

return metrics
