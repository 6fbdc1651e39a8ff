---@meta
-- Traces: what every thread did and when, as a picture of time.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field trace green.trace  loaded on first use
local green = {}

--- Notes the newest events of all threads in a ring of 24 bytes each, and draws
--- them for ui.perfetto.dev, chrome://tracing or speedscope: a row for each
--- thread, tiled by slices in which it runs, waits for something or is ready;
--- arrows from the slice that woke a thread to the one in which it goes on; a
--- row of the hub with its polls; counters; and the program's own spans. Off,
--- it costs nothing. On, each switch reads the clock.
---@class green.trace
local trace = {}

---@class green.trace_options
---@field events? integer  size of the ring, rounded up to a power of 2; 65536
---@field threads? green.thread[]  1 to 64: of threads notes only what concerns
--- these; all
---@field stacks? boolean  also the stack at the beginning of each wait, a few
--- microseconds and a few hundred bytes; false

--- Begins a trace. Never switches. Raises if one is on, and for bad options.
---@param opts? green.trace_options
function trace.start(opts) end

--- Ends the trace and writes the picture as Trace Event JSON: to the file of
--- that name, which it replaces, to the object's write in one call, or as the
--- result. Takes about 1 us for each event. Without the file the trace goes on.
--- Never switches, unless the object's write does. Raises if none is on.
---@param file string|table|userdata
---@return true
---@overload fun(): string
---@overload fun(file: any): nil, string
function trace.stop(file) end

--- Is one on? Never switches.
---@return boolean
function trace.running() end

--- A moment in the calling thread's row. While no trace is on, this and the
--- next two do nothing. Never switches.
---@param name string  any bytes; the first 1,000 of them
---@param args? any  shown at a click: a table of up to 32 fields, numbers,
--- booleans and strings, of which the first 1,024 bytes count, or one such
--- value; of other values the address
function trace.mark(name, args) end

--- A stretch of the calling thread's time, around the slices of what it does in
--- it. It ends where the variable goes out of scope, or at span:close(). Never
--- switches.
---
--- ```lua
--- local _ <close> = green.trace.span("GET " .. path, {id = id})
--- ```
---@param name string
---@param args? any  as of mark
---@return green.span
function trace.span(name, args) end

--- One more value of a graph. Never switches.
---@param name string
---@param value number
function trace.counter(name, value) end

--- A span. Spans of a thread nest; if one ends before one that began later, the
--- picture closes and reopens the latter.
---@class green.span
local Span = {}

--- Ends it; more often does nothing. Never switches.
function Span:close() end

return green
