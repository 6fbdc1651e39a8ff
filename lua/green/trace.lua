--- green.trace: what every thread did and when, as a picture of time.
---
--- The core keeps the newest events in a ring; stop() writes them as Trace
--- Event JSON, for ui.perfetto.dev, chrome://tracing and speedscope.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local report = require "green.runtime.report"
local ipairs, math, type = ipairs, math, type

local MOST_EVENTS <const> = 1 << 26
local MOST_THREADS <const> = 64

local trace = {
  mark = core.trace_mark,
  span = core.trace_span,
  counter = core.trace_counter,
  running = core.trace_running,
}

local known <const> = {events = "integer", stacks = "boolean",
                       threads = "table"}

--- The ids of the threads in the list, or nil.
local function ids_of(list)
  if not list then return nil end
  local ids = {}
  for i, t in ipairs(list) do
    if green.type(t) ~= "thread" then
      check.bad(1, "start", "green threads expected in 'threads'")
    end
    ids[i] = t.id
  end
  if #ids == 0 or #ids > MOST_THREADS then
    check.bad(1, "start", "'threads' has 1 to %d of them", MOST_THREADS)
  end
  return ids
end

--- Begins a trace. Raises if one is on.
---@param opts? {events: integer, stacks: boolean, threads: green.thread[]}
function trace.start(opts)
  opts = check.options(opts, known, 1, "start")
  local events = math.min(opts.events or 0, MOST_EVENTS)
  local ids = ids_of(opts.threads)
  if core.trace_running() then check.misuse "a trace is on already" end
  core.trace_start(events, opts.stacks, ids)
end

--- Ends it: to the file of that name, to an object with write, or as a string.
--- If the file cannot be opened, the trace goes on.
---@param file? string|userdata|table
---@return string|true|nil text
---@return string? err
function trace.stop(file)
  if not core.trace_running() then check.misuse "no trace is on" end
  if file == nil then return core.trace_text() end
  if type(file) == "string" then return core.trace_save(file) end
  if not report.has_write(file) then
    check.bad(1, "stop", "file name or file expected, got %s", type(file))
  end
  local ok, err = file:write(core.trace_text())
  if ok == nil and err then return nil, err end
  return true
end

return trace
