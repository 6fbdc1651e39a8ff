-- bars.lua - the bars, and the table that shows which of them this run has
-- reached. Both sides of a ratio run by turns. SPDX-License-Identifier: MIT
local turns = require "turns"

local ours, go = "luagreen", "Go, 1 P"

-- name, sense, bar, {subject, row, column (the last one by default), field
-- ("value" by default)}, and the same for the divisor, if any. bench/run puts
-- into `runs` those of the first and of the divisor, and into `more` whether
-- their figure is better if it is greater.
local bars = {
  {"sleep(0) / bare Lua, 10 threads", "<=", 0.35,
   {"switch", ours, "10"}, {"switch", "bare Lua", "10"}},
  {"sleep(0) / bare Lua, 1,000", "<=", 0.6,
   {"switch", ours, "1,000"}, {"switch", "bare Lua", "1,000"}},
  {"sleep(0) / bare Lua, 10,000", "<=", 0.9,
   {"switch", ours, "10,000"}, {"switch", "bare Lua", "10,000"}},
  {"idle thread, spawn_n, bytes", "<=", 1285, {"idle", ours, "spawn_n"}},
  {"idle thread, spawn, bytes", "<=", 1350, {"idle", ours, "spawn"}},
  {"spawn_n, run, end / Go", "<", 1,
   {"spawn", ours, "spawn_n"}, {"spawn", go, "spawn_n"}},
  -- Both to one figure: a goroutine, its channel, and the result received. The
  -- machine on which the bars were set took 178 ns for a bare `go` and 440 for
  -- this: 2.5 of it, and 2.4 here, where one that nobody receives takes 1.5.
  {"spawn, run, end / Go with a channel", "<=", 0.8,
   {"spawn", ours, "spawn"}, {"spawn", go, "wait"}},
  {"spawn and wait / Go with a channel", "<=", 1,
   {"spawn", ours, "wait"}, {"spawn", go, "wait"}},
  {"a state on a hub, us", "<", 500, {"states", ours, "us"}},
  {"a state on a hub, KB", "<", 100, {"states", ours, "KB"}},
  {"a state on a hub, KB resident", "<", 100, {"states", ours, "KB, resident"}},
  {"preempt and watchdog armed / off", ">=", 0.99,
   {"preempt", ours, "armed"}},
  {"profile of 99 Hz / none", ">=", 0.98, {"preempt", ours, "profiled"}},
  {"turns beside a hog, preempt = 10 ms, ms", "<=", 30,
   {"preempt", ours, "gap"}},
  {"limits of time / none", "<=", 1.01, {"limits", ours, "time"}},
  {"limits of memory / none", "<=", 1.1, {"limits", ours, "memory"}},
  {"limits of counts / none", "<=", 1.05, {"limits", ours, "counts"}},
  {"echo with accounting / without", "<=", 1.053,
   {"watch", "accounting", "ns"}, {"watch", "off", "ns"}},
  {"echo traced / not", "<=", 1.111,
   {"watch", "trace", "ns"}, {"watch", "off", "ns"}},
  {"file of 64 Ki events, ns", "<", 2e8, {"watch", "file", "ns"}},
  {"scrape of 1,000 series, ns", "<", 5e6, {"watch", "scrape", "ns"}},
  {"timer in C / Go", "<", 0.5, {"timer", "luagreen, C"}, {"timer", go}},
  {"timer from Lua / Go", "<", 1, {"timer", ours}, {"timer", go}},
  {"channel / Go unbuffered", "<", 1,
   {"handover", ours, "channel"}, {"handover", go, "channel"}},
  {"queue(100) / Tarantool", "<", 1,
   {"handover", ours, "queue"}, {"handover", "Tarantool", "queue"}},
  {"a hop between OS threads in C, ns", "<=", 15000,
   {"ports", "luagreen, C", "hop"}},
  {"one way between OS threads in C / Go", "<=", 1,
   {"ports", "luagreen, C", "one way"},
   {"ports", "Go, locked OS threads", "one way"}},
  {"queue(100) / Go buffered, near", "<=", 2,
   {"handover", ours, "queue"}, {"handover", go, "queue"}},
  {"echo, CPU / bare C epoll, 50", "<=", 1.075,
   {"echo", ours, "50 x 64", "cpu"},
   {"echo", "bare C epoll", "50 x 64", "cpu"}},
  {"echo, CPU / bare C epoll, 1,000", "<=", 1.25,
   {"echo", ours, "1,000 x 64", "cpu"},
   {"echo", "bare C epoll", "1,000 x 64", "cpu"}},
}

-- A server's cost is its CPU time: the rate of two processes on two shared
-- cores swings by a factor of two.
local function ahead(subject, peer, column)
  local what = ("%s, CPU / %s, %s"):format(subject, peer, column)
  table.insert(bars, {what, "<", 1, {subject, ours, column, "cpu"},
                      {subject, peer, column, "cpu"}})
end
local function ahead_in_echo(peer, column) ahead("echo", peer, column) end
for _, peer in ipairs{go, "luv", "cqueues", "Tarantool", "gevent",
                      "eventlet"} do
  ahead_in_echo(peer, "50 x 64")
  ahead_in_echo(peer, "1,000 x 64")
end
for _, peer in ipairs{"luv", "Tarantool"} do
  ahead_in_echo(peer, "50 x 16 KB")
  ahead_in_echo(peer, "1,000 x 16 KB")
end

for _, peer in ipairs{"cqueues", "copas"} do
  ahead("line", peer, "50 x 64")
  ahead("line", peer, "1,000 x 64")
end

-- TLS: OpenSSL's own work, the same for all, is most of it.
for _, column in ipairs{"50 x 64", "1,000 x 64", "50 x 16 KB",
                        "1,000 x 16 KB"} do
  ahead("tls", "cqueues", column)
  table.insert(bars, {"tls, CPU / Go, " .. column, "<=", 1.25,
                      {"tls", ours, column, "cpu"},
                      {"tls", go, column, "cpu"}})
end

-- A proxy in Lua within a fifth of the peers in C.
for _, column in ipairs{"50 x 64", "1,000 x 64", "50 x 16 KB",
                        "50 x 256 KB"} do
  table.insert(bars, {"proxy, CPU / nginx stream, " .. column, "<=", 1.25,
                      {"proxy", ours, column, "cpu"},
                      {"proxy", "nginx stream", column, "cpu"}})
end
ahead("udp", "luv", "50 x 64")
table.insert(bars, {"udp, CPU / Go, 50 x 64", "<=", 1.25,
                    {"udp", ours, "50 x 64", "cpu"},
                    {"udp", go, "50 x 64", "cpu"}})

-- The toolkit must be ahead of its models.
for _, bar in ipairs{
  {"queues", "lifo", "gevent"}, {"queues", "priority", "gevent"},
  {"queues", "with less", "gevent"}, {"select", "10 wait", "cqueues"},
  {"select", "1,000 wait", "cqueues"},
  {"select", "10 ready", "Go, reflect"},
  {"select", "1,000 ready", "Go, reflect"},
  {"pool", "spawn_n", "eventlet"}, {"pool", "map", "gevent"},
  {"pool", "imap", "eventlet"}, {"pool", "imap_unordered", "gevent"},
  {"group", "time (ns)", "asyncio"}, {"group", "peak (bytes)", "asyncio"},
} do
  local subject, column, peer = table.unpack(bar)
  local what = ("%s, %s / %s"):format(subject, column, peer)
  table.insert(bars, {what, "<", 1,
                      {subject, ours, column}, {subject, peer, column}})
end

-- Not worse than logarithmic: from 1 to 100,000 threads at most log2(100,000)
-- times as expensive, which allows for caches that no longer hold it all.
for _, what in ipairs{"switch", "spawn", "timer", "queue", "wait"} do
  table.insert(bars, {what .. ", 100,000 threads / 1", "<=",
                      math.log(100000, 2),
                      {"scale", what, "100,000"}, {"scale", what, "1"}})
end

local function reached(sense, value, bar)
  if sense == "<=" then return value <= bar end
  if sense == "<" then return value < bar end
  if sense == ">=" then return value >= bar end
  return value > bar
end

local function verdict(sense, value, bar)
  if reached(sense, value, bar) then return "met" end
  local miss = sense:find "<" and value / bar - 1 or 1 - value / bar
  return ("missed by %.0f %%"):format(math.ceil(miss * 100))
end

local function figure(value)
  return value and (value < 100 and "%.1f" or "%.0f"):format(value) or ""
end

local function hundredths(ratio)
  return ratio and ("%.2f"):format(ratio) or ""
end

-- The ratio of the best runs reaches the bar or does not; the median is shown
-- beside it, and tells whether to believe that.
local function print_bar(bar)
  local what, sense, limit, at, by = table.unpack(bar)
  local field, sides = at[4] or "value", {}
  for i, runs in ipairs(bar.runs) do
    local best = turns.best(runs, field, bar.more)
    sides[i] = best and best[field]
  end
  local value, other = sides[1], sides[2]
  local ratio = value and other and value / other
  local median = ratio and turns.median(bar.runs[1], bar.runs[2], field)
  local measured = ratio or not by and value
  print(("  %-40s %-8s %9s %9s %7s %7s  %s"):format(
    what, sense .. " " .. ("%.4g"):format(limit), figure(value), figure(other),
    hundredths(ratio), hundredths(median),
    measured and verdict(sense, measured, limit) or "not measured"))
end

--- The bars of a subject.
---@param subject string  its name
---@return table[]
function bars.of(subject)
  local list = {}
  for _, bar in ipairs(bars) do
    if bar[4][1] == subject then list[#list + 1] = bar end
  end
  return list
end

--- Prints the bars whose subject was run.
function bars.print()
  print("\nthe bars of DESIGN.md, and of the toolkit")
  print(("  %-40s %-8s %9s %9s %7s %7s"):format(
    "what", "bar", "ours", "theirs", "ratio", "median"))
  for _, bar in ipairs(bars) do
    if bar.runs then print_bar(bar) end
  end
  print("  ratio: of the best run of each, by which a bar is met or missed;\n"
    .. "  median: of the ratios of neighbouring runs, as the two take turns")
end

return bars
