-- subjects.lua - what is measured, by which program, and what must be installed
-- for it. A subject has columns (a label and arguments) and rows (a name, its
-- needs, a command in which %s stands for the column's arguments).
-- SPDX-License-Identifier: MIT
local subjects = {}

-- The programs to compile first.
subjects.programs = {
  {out = "load", needs = "cc", source = "load.c", header = "load.h"},
  {out = "switch", needs = "libgreen", source = "switch.c"},
  {out = "timer", needs = "libgreen", source = "timer.c"},
  {out = "echo", needs = "libgreen", source = "echo.c"},
  {out = "states", needs = "libgreen_lua", source = "states.c"},
  {out = "limits", needs = "libgreen_lua", source = "limits.c"},
  {out = "embed", needs = "libgreen_lua", source = "embed.c"},
  {out = "embed_uv", needs = "cc", source = "peers/embed_uv.c"},
  {out = "timer_uv", needs = "cc", source = "peers/timer_uv.c"},
  {out = "echo_epoll", needs = "cc", source = "peers/echo_epoll.c"},
  {out = "echo_uv", needs = "cc", source = "peers/echo_uv.c"},
  {out = "switch_go", needs = "go", source = "peers/switch.go"},
  {out = "spawn_go", needs = "go", source = "peers/spawn.go"},
  {out = "idle_go", needs = "go", source = "peers/idle.go"},
  {out = "handover_go", needs = "go", source = "peers/handover.go"},
  {out = "select_go", needs = "go", source = "peers/select.go"},
  {out = "pool_go", needs = "go", source = "peers/pool.go"},
  {out = "group_go", needs = "go", source = "peers/group.go"},
  {out = "timer_go", needs = "go", source = "peers/timer.go"},
  {out = "echo_go", needs = "go", source = "peers/echo.go"},
  {out = "udp_go", needs = "go", source = "peers/udp.go"},
  {out = "load_tls", needs = "openssl", source = "load_tls.c",
   header = "load.h"},
  {out = "tls_go", needs = "go", source = "peers/tls.go"},
  {out = "ports", needs = "libgreen", source = "ports.c"},
  {out = "ports_lua", needs = "libgreen_lua", source = "ports_lua.c"},
  {out = "ports_go", needs = "go", source = "peers/ports.go"},
}

--- Digits in groups of three: 10000 becomes "10,000".
---@param digits string
---@return string
function subjects.thousands(digits)
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function columns(...)
  local list = {}
  for i, args in ipairs{...} do
    local label = tonumber(args) and subjects.thousands(args) or args
    list[i] = {label = label, args = args}
  end
  return list
end

-- A table of row makers: rows.go("switch") is the row of Go's switch program.
-- The arguments that follow are put before the column's.
local function row_makers(options)
  local here, build = options.here, options.build
  local function maker(name, needs, pattern)
    return function(subject, first)
      local command = pattern:format(subject) .. " " .. (first or "") .. " %s"
      return {name = name, needs = needs, command = command}
    end
  end
  local lua = "lua5.4 " .. here .. "/"
  local function python(name, command)
    return maker(name, name, ("%s %s/peers/%%s_%s.py"):format(
      command or "python3", here, name))
  end
  return {
    ours = maker("luagreen", "green", lua .. "%s.lua"),
    yields = maker("luagreen, always yields", "green",
                   "env LUAGREEN_KEEP=0 " .. lua .. "%s.lua"),
    core = maker("luagreen, C", "libgreen", build .. "/%s"),
    linked = maker("luagreen, linked", "libgreen_lua", build .. "/%s_lua"),
    state = maker("luagreen", "libgreen_lua", build .. "/%s"),
    bare = maker("bare Lua", "lua", lua .. "peers/%s_bare.lua"),
    epoll = maker("bare C epoll", "cc", build .. "/%s_epoll"),
    uv = maker("libuv, C", "cc", build .. "/%s_uv"),
    go = maker("Go, 1 P", "go", build .. "/%s_go"),
    luv = maker("luv", "luv", lua .. "peers/%s_luv.lua"),
    cqueues = maker("cqueues", "cqueues", lua .. "peers/%s_cqueues.lua"),
    copas = maker("copas", "copas", lua .. "peers/%s_copas.lua"),
    tarantool = maker("Tarantool", "tarantool",
                      "tarantool " .. here .. "/peers/%s_tarantool.lua"),
    janet = maker("Janet", "janet", "janet " .. here .. "/peers/%s.janet"),
    gevent = python("gevent", options.gevent),
    eventlet = python("eventlet", options.eventlet),
    asyncio = python("asyncio", options.asyncio),
    nginx = maker("nginx stream", "nginx", here .. "/peers/%s_nginx"),
    haproxy = maker("HAProxy", "haproxy", here .. "/peers/%s_haproxy"),
  }
end

local function named(row, name)
  row.name = name
  return row
end

local function switch(rows, options)
  local keeps = named(rows.ours "switch", "luagreen, keeps all")
  keeps.command = keeps.command .. " 131072"
  return {
    name = "switch",
    title = "switch through the ready queue, by threads (ns)",
    columns = options.quick and columns("10", "1000", "10000")
      or columns("10", "1000", "10000", "100000"),
    rows = {
      rows.ours "switch", rows.yields "switch", keeps, rows.core "switch",
      rows.bare "switch", rows.cqueues "switch", rows.go "switch",
      rows.tarantool "switch", rows.gevent "switch", rows.eventlet "switch",
    },
  }
end

local function spawn(rows)
  return {
    name = "spawn",
    title = "spawn, run, end; without and with a handle; waited for (ns)",
    columns = columns("spawn_n", "spawn", "wait"),
    rows = {
      rows.ours "spawn", rows.yields "spawn", rows.bare "spawn",
      rows.cqueues "spawn", rows.go "spawn", rows.tarantool "spawn",
      rows.gevent "spawn", rows.eventlet "spawn",
    },
  }
end

-- The heavier peers are asked for fewer threads; it does not change the bytes.
local function idle(rows, options)
  local many = options.quick and "200000" or "1000000"
  return {
    name = "idle",
    title = "idle thread, " .. subjects.thousands(many) .. " of them " ..
      "(resident bytes); handler: 3 calls deep, a dozen locals",
    runs = 1,
    columns = columns("spawn_n", "spawn", "handler"),
    rows = {
      rows.ours("idle", many), rows.bare("idle", many),
      rows.cqueues("idle", many), rows.go("idle", many),
      named(rows.tarantool("idle", "20000"), "Tarantool, 20,000"),
      named(rows.gevent("idle", "100000"), "gevent, 100,000"),
      named(rows.eventlet("idle", "100000"), "eventlet, 100,000"),
    },
  }
end

local function timer(rows, options)
  return {
    name = "timer",
    title = "timer armed and cancelled, by timers pending (ns)",
    columns = options.quick and columns("1000", "200000")
      or columns("1000", "1000000"),
    rows = {
      rows.ours "timer", rows.core "timer", rows.uv "timer", rows.luv "timer",
      rows.go "timer", rows.gevent "timer", rows.eventlet "timer",
    },
  }
end

local function handover(rows)
  return {
    name = "handover",
    title = "hand-over between two threads: unbuffered, queue of 100, " ..
      "fresh event (ns)",
    columns = columns("channel", "queue", "event"),
    rows = {
      rows.ours "handover", rows.yields "handover", rows.cqueues "handover",
      rows.go "handover", rows.tarantool "handover", rows.gevent "handover",
      rows.eventlet "handover",
    },
  }
end

local function embed(rows, options)
  local ours = rows.core "embed"
  ours.name, ours.needs = "luagreen", "libgreen_lua"
  return {
    name = "embed",
    title = "a host and its scripts: spawned, started and told of, one at a " ..
      "time, woken by a signal; jobs, one or 16 at a time (ns)",
    columns = options.quick and columns("start", "one", "wake", "job")
      or columns("spawn", "start", "one", "wake", "job", "jobs"),
    rows = {ours, rows.uv "embed", rows.luv "embed"},
  }
end

-- The queues of the toolkit, by the programs of handover.
local function queues(rows)
  return {
    name = "queues",
    title = "hand-over through queues: of 100, unbounded, lifo, by priority" ..
      " (ns)",
    columns = {
      {label = "queue", args = "queue"},
      {label = "unbounded", args = "unbounded"},
      {label = "lifo", args = "lifo"},
      {label = "priority", args = "priority"},
      {label = "with less", args = "less"},
    },
    rows = {
      rows.ours "handover", rows.yields "handover", rows.go "handover",
      rows.gevent "handover", rows.eventlet "handover",
    },
  }
end

-- Between OS threads, so not pinned to one core.
local function ports(rows)
  local function free(row)
    row.command = "timeout --foreground -k 1 60 " .. row.command
    return row
  end
  return {
    name = "ports",
    title = "a message between OS threads: there and back, per hop; one way," ..
      " room for 100; from four; between two threads of one (ns)",
    pinned = true,
    columns = {
      {label = "hop", args = "hop"}, {label = "one way", args = "stream"},
      {label = "from four", args = "many"},
      {label = "at home", args = "home"},
    },
    rows = {
      free(rows.core "ports"),
      free(named(rows.linked "ports", "luagreen, states; C to Lua")),
      free(named(rows.go "ports", "Go, locked OS threads")),
      free(named(rows.janet "ports", "Janet, OS threads")),
    },
  }
end

local function select_among(rows)
  return {
    name = "select",
    title = "a value by select among so many queues, all empty or one not (ns)",
    columns = {
      {label = "10 wait", args = "waits 10"},
      {label = "1,000 wait", args = "waits 1000"},
      {label = "10 ready", args = "ready 10"},
      {label = "1,000 ready", args = "ready 1000"},
    },
    rows = {
      rows.ours "select", rows.yields "select",
      named(rows.ours("select", "selector"), "luagreen, selector"),
      rows.cqueues "select",
      named(rows.go("select", "reflect"), "Go, reflect"),
      named(rows.go("select", "static"), "Go, statement"),
      rows.gevent "select",
    },
  }
end

local function pool(rows, options)
  local many = options.quick and "20000" or "100000"
  return {
    name = "pool",
    title = "job that gives way once, " .. subjects.thousands(many) ..
      " in a pool of 100 (ns)",
    columns = columns("spawn_n", "map", "imap", "imap_unordered"),
    rows = {
      rows.ours("pool", many), rows.yields("pool", many),
      rows.go("pool", many), rows.gevent("pool", many),
      rows.eventlet("pool", many),
    },
  }
end

local function group(rows, options)
  local many = options.quick and "20000" or "100000"
  return {
    name = "group",
    title = "group of " .. subjects.thousands(many) ..
      " children that give way once, per child",
    columns = {
      {label = "time (ns)", args = "time"},
      {label = "peak (bytes)", args = "memory"},
    },
    rows = {
      rows.ours("group", many), rows.yields("group", many),
      rows.go("group", many), rows.gevent("group", many),
      rows.asyncio("group", many),
    },
  }
end

--- A subject whose rows are servers, each beside its load; by "trio" before a
--- server of their own.
local function served(subject, options, by)
  subject.more, subject.pinned, subject.seconds = true, true, 240
  local pattern = "BUILD='%s' timeout --foreground -k 1 60 %s/%s %%s %s "
  local seconds = options.quick and "0.4" or "1"
  local pair = pattern:format(options.build, options.here, by or "pair",
    seconds)
  for _, row in ipairs(subject.rows) do
    row.command = pair .. row.command:gsub(" +%%s$", "")
  end
  return subject
end

local function echo(rows, options)
  return served({
    name = "echo",
    title = "echo, connections x bytes (round trips per second)",
    notes = "echo, latency at the median and at 99 % (microseconds)",
    cpu = "echo, the server's CPU time per round trip (microseconds)",
    columns = {
      {label = "50 x 64", args = "50 64"},
      {label = "1,000 x 64", args = "1000 64"},
      {label = "50 x 16 KB", args = "50 16384"},
      {label = "1,000 x 16 KB", args = "1000 16384"},
    },
    rows = {
      rows.epoll "echo", rows.uv "echo", rows.core "echo",
      rows.ours "echo", rows.yields "echo",
      rows.go "echo", rows.luv "echo", rows.cqueues "echo",
      rows.tarantool "echo", rows.gevent "echo", rows.eventlet "echo",
    },
  }, options)
end

local function line(rows, options)
  return served({
    name = "line",
    title = "echo of lines, connections x bytes (round trips per second)",
    notes = "lines, latency at the median and at 99 % (microseconds)",
    cpu = "lines, the server's CPU time per round trip (microseconds)",
    columns = {
      {label = "50 x 64", args = "50 64"},
      {label = "1,000 x 64", args = "1000 64"},
    },
    rows = {
      rows.ours "line", rows.yields "line", rows.cqueues "line",
      rows.copas "line",
    },
  }, options)
end

local function tls(rows, options)
  return served({
    name = "tls",
    title = "echo over TLS, connections x bytes (round trips per second)",
    notes = "TLS, latency at the median and at 99 % (microseconds)",
    cpu = "TLS, the server's CPU time per round trip (microseconds)",
    columns = {
      {label = "50 x 64", args = "50 64"},
      {label = "1,000 x 64", args = "1000 64"},
      {label = "50 x 16 KB", args = "50 16384"},
      {label = "1,000 x 16 KB", args = "1000 16384"},
      {label = "handshakes", args = "20 0"},
    },
    rows = {
      rows.ours "tls", rows.cqueues "tls", rows.go "tls",
    },
  }, options, "pair_tls")
end

local function http(rows, options)
  local subject = {
    name = "http",
    title = "a request by socket.http, of so many at once (us of CPU time)",
    notes = "how long all took, a tenth of a second being the server's (ms)",
    columns = columns("200", "1000"),
    rows = {rows.ours "http", rows.yields "http", rows.copas "http"},
  }
  for _, row in ipairs(subject.rows) do
    local command = row.command:gsub(" +%%s$", "")
    row.command = ("%s/with_http %%s %s"):format(options.here, command)
  end
  return subject
end

local function udp(rows, options)
  return served({
    name = "udp",
    title = "echo by UDP, sockets x bytes (round trips per second)",
    notes = "UDP, latency at the median and at 99 % (microseconds)",
    cpu = "UDP, the server's CPU time per round trip (microseconds)",
    columns = {
      {label = "50 x 64", args = "50 64"},
      {label = "50 x 1,400", args = "50 1400"},
    },
    rows = {
      rows.ours "udp",
      named(rows.ours("udp", "server"), "luagreen, a thread each"),
      rows.go "udp", rows.luv "udp",
    },
  }, options)
end

local function proxy(rows, options)
  return served({
    name = "proxy",
    title = "proxy before an echo, connections x bytes (trips per second)",
    notes = "proxy, latency at the median and at 99 % (microseconds)",
    cpu = "proxy, its CPU time per round trip (microseconds)",
    columns = {
      {label = "50 x 64", args = "50 64"},
      {label = "1,000 x 64", args = "1000 64"},
      {label = "50 x 16 KB", args = "50 16384"},
      {label = "50 x 256 KB", args = "50 262144"},
    },
    rows = {rows.ours "proxy", rows.nginx "proxy", rows.haproxy "proxy"},
  }, options, "trio")
end

local function lookup(rows)
  return {
    name = "lookup",
    title = "look-up of a number, and of a name: its answer kept, kept from " ..
      "the program's resolver, asked of the system (ns)",
    columns = columns("number", "kept", "ours", "ask"),
    rows = {rows.ours "lookup"},
  }
end

local function states(rows)
  return {
    name = "states",
    title = "a Lua state on a hub that exists, beyond one without luagreen: " ..
      "CPU time (us), Lua's memory before and after the first thread (KB), " ..
      "and by how much the process grows (KB)",
    columns = {{label = "us", args = "us"}, {label = "KB", args = "kb"},
               {label = "KB, spawned", args = "spawn"},
               {label = "KB, resident", args = "rss"}},
    rows = {rows.state "states"},
  }
end

local function preempt(rows)
  return {
    name = "preempt",
    title = "speed with ticks to that without: threads that switch, a " ..
      "profile at 99 Hz, a thread that computes; turns beside that, ms of CPU",
    columns = columns("armed", "profiled", "hog", "gap"),
    rows = {rows.ours "preempt"},
  }
end

local function limits(rows)
  return {
    name = "limits",
    title = "CPU time with limits to that without: far ones of memory, of " ..
      "time, of counts; fuel; functions of a sandbox to Lua's own",
    columns = columns("memory", "time", "counts", "fuel", "find", "gsub",
                      "sort"),
    rows = {rows.state "limits"},
  }
end

local function gc(rows, options)
  local subject = {
    name = "gc",
    title = "worst pause of the collector, by threads that wait (ms)",
    seconds = 40,
    columns = options.quick and columns("1000", "10000", "100000")
      or columns("1000", "10000", "100000", "1000000"),
    rows = {},
  }
  for _, mode in ipairs{"incremental", "generational"} do
    local ours, bare = rows.ours("gc", mode), rows.bare("gc", mode)
    table.insert(subject.rows, named(ours, "luagreen, " .. mode))
    table.insert(subject.rows, named(bare, "bare Lua, " .. mode))
  end
  return subject
end

local function scale(rows)
  local subject = {
    name = "scale",
    title = "one operation, by other threads that wait with a limit (ns)",
    columns = columns("1", "1000", "100000"),
    rows = {},
  }
  for _, what in ipairs{"switch", "spawn", "timer", "queue", "wait"} do
    table.insert(subject.rows, named(rows.ours("scale", what), what))
  end
  return subject
end

local function watch(rows)
  local subject = {
    name = "watch",
    title = "watched: CPU time of an echo's round trip in one process, of a " ..
      "trace's file (64 Ki events), of a scrape (1,000 series) (ns)",
    columns = {{label = "ns", args = ""}},
    rows = {},
  }
  for _, mode in ipairs{"off", "accounting", "trace", "waits", "alloc", "file",
                        "scrape"} do
    table.insert(subject.rows, named(rows.ours("watch", mode), mode))
  end
  return subject
end

--- All subjects in order.
---@param options table  here, build, quick; gevent, eventlet, asyncio
---@return table[]
function subjects.subjects(options)
  local rows, list = row_makers(options), {}
  local makers = {
    switch, spawn, embed, idle, timer, handover, queues, ports, select_among,
    pool, group, echo, line, tls, http, udp, proxy, lookup, states, preempt,
    limits,
    gc, scale,
  }
  makers[#makers + 1] = watch
  for i, make in ipairs(makers) do
    local subject = make(rows, options)
    subject.runs = options.quick and 1 or subject.runs or 3
    subject.seconds = subject.seconds or 60
    subject.turns = options.quick and {least = 1, most = 1, seconds = 0}
      or {least = 3, most = 12, seconds = 8}
    list[i] = subject
  end
  return list
end

return subjects
