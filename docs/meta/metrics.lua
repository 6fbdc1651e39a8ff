---@meta
-- Metrics, in Prometheus' text form.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field metrics green.metrics  loaded on first use
local green = {}

--- Counters, gauges and histograms, and their text for a scraper. Those of the
--- runtime and the process are there by themselves and cost nothing until
--- somebody asks: `luagreen_lag_seconds` tells an overloaded program. Labels
--- are for what has few values; bytes that are not UTF-8 are shown as `\xff`.
--- Beyond 1,000 combinations a metric counts all others as "overflow", and
--- reports that once. Making a metric again gives the same one, and raises if
--- its kind, labels or buckets are others. The names of a histogram's lines,
--- such as name_sum, no other metric may have.
---@class green.metrics
---@field content_type string  what an answer over HTTP says of the text
local metrics = {}

--- Makes a counter, which only rises. Never switches. Raises for a bad name.
---@param name string  ends in "_total"
---@param help string
---@param labels? string[]  names of labels
---@return green.counter
function metrics.counter(name, help, labels) end

--- Makes a gauge, which has any value. Never switches. Raises for a bad name.
---@param name string
---@param help string
---@param labels? string[]
---@return green.gauge
function metrics.gauge(name, help, labels) end

--- Makes a histogram: how often a value was at most so large. Never switches.
--- Raises for a bad name or bounds that do not rise.
---@param name string
---@param help string
---@param buckets? number[]  the bounds; 0.005 to 10, for seconds
---@param labels? string[]
---@return green.histogram
function metrics.histogram(name, help, buckets, labels) end

--- Has f(emit) called at each scrape, for what is counted elsewhere. It calls
--- emit(name, value [, labels [, help]]), labels being a table of values by
--- name; a name that ends in "_total" is a counter, another a gauge. If it
--- calls with a name and labels again, the last value counts. An error of f is
--- reported. Never switches. Raises unless f is callable.
---@param f fun(emit: function)
function metrics.collect(f) end

--- All metrics in the text form 0.0.4. Gives the others a turn after each 100
--- lines. Interruptible. May switch.
---@return string
function metrics.text() end

--- A counter. Labels are a table of values by name; those that are left out are
--- "", and others raise.
---@class green.counter
local Counter = {}

--- Adds n, 1 by default. Never switches. Raises if n is negative.
---@param n? number
---@param labels? table
function Counter:inc(n, labels) end

---@class green.gauge
local Gauge = {}

--- Never switches.
---@param value number
---@param labels? table
function Gauge:set(value, labels) end

--- Adds n, 1 by default. Never switches.
---@param n? number
---@param labels? table
function Gauge:inc(n, labels) end

--- Subtracts n, 1 by default. Never switches.
---@param n? number
---@param labels? table
function Gauge:dec(n, labels) end

---@class green.histogram
local Histogram = {}

--- Counts a value. Never switches.
---@param value number
---@param labels? table
function Histogram:observe(value, labels) end

--- Observes how many seconds f(...) takes, also if it raises, in the series
--- without labels. Returns its results. May switch, if f does. Raises unless f
--- is callable, and what f raises.
---@param f function
---@param ... any
---@return any ...
function Histogram:time(f, ...) end

return green
