--- The metrics of the runtime and the process, made at each scrape.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local ipairs, type = ipairs, type
local policy = require "green.runtime.policy"

local builtin = {}

--- {name, kind, help, figure}: a figure of core.stats(), or a function.
local ROWS <const> = {
  {"luagreen_switches_total", "counter", "Switches between green threads.",
    "switches"},
  {"luagreen_spawned_total", "counter", "Green threads made so far.",
    "spawned"},
  {"luagreen_poll_seconds_total", "counter",
    "Time in polls that did not sleep.", "poll_time"},
  {"luagreen_idle_seconds_total", "counter", "Time slept in polls.", "idle"},
  {"luagreen_run_queue", "gauge", "Threads that are ready.", "ready"},
  {"luagreen_timers", "gauge", "Deadlines that are pending.", "timers"},
  {"luagreen_timeouts", "gauge", "Timeouts in force.",
    function(figures) return figures.counts.timers end},
  {"luagreen_descriptors", "gauge",
    "Open sockets and pipes of the library's.",
    function(figures) return figures.counts.descriptors end},
  {"luagreen_stacks", "gauge", "C stacks, in use or not.", "stacks"},
  {"luagreen_blocked_total", "counter",
    "Times that a thread held up all others for longer than the watchdog's "
    .. "limit.", function() return policy.blocks or 0 end},
  {"luagreen_gc_cycles_total", "counter",
    "Collections of the whole heap of Lua.",
    function(figures) return figures.gc.count end},
  {"lua_memory_bytes", "gauge", "The heap of Lua.", "heap"},
}

local PROCESS <const> = {
  {"process_cpu_seconds_total", "counter",
    "Total user and system CPU time spent in seconds.", "cpu"},
  {"process_open_fds", "gauge", "Number of open file descriptors.", "fds"},
  {"process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
    "resident"},
  {"process_start_time_seconds", "gauge",
    "Start time of the process since unix epoch in seconds.", "started"},
}

--- No metric of the program's may have one of these.
builtin.histogram = "luagreen_lag_seconds"
builtin.names = {luagreen_threads = true, [builtin.histogram] = true}
for _, list in ipairs {ROWS, PROCESS} do
  for _, row in ipairs(list) do builtin.names[row[1]] = true end
end

local function add(list, rows, figures)
  for _, row in ipairs(rows) do
    local get = row[4]
    local value = type(get) == "function" and get(figures) or figures[get]
    list[#list + 1] = {name = row[1], kind = row[2], help = row[3],
      series = {{labels = "", value = value}}}
  end
end

local function threads()
  local states, series = core.thread_states(), {}
  for _, state in ipairs {"blocked", "new", "ready", "running"} do
    series[#series + 1] = {labels = ('state="%s"'):format(state),
      value = states[state]}
  end
  return {name = "luagreen_threads", kind = "gauge", series = series,
    help = "Green threads that live, by their state."}
end

--- The core's counts are cumulative already.
local function lag()
  local bounds, below, count, sum = core.lag_bounds()
  for i = #below, 2, -1 do below[i] = below[i] - below[i - 1] end
  return {name = builtin.histogram, kind = "histogram", buckets = bounds,
    help = "How long ready threads waited for their turn; each 64th wake-up.",
    series = {{labels = "", counts = below, sum = sum, count = count}}}
end

function builtin.families()
  local list = {threads(), lag()}
  add(list, ROWS, core.stats())
  add(list, PROCESS, core.process())
  return list
end

return builtin
