--- luagreen: green threads for Lua 5.4 and 5.5.
---
--- `local green = require "green"` sets everything up: there is no main loop to
--- call. A function marked "May switch" blocks the calling green thread and
--- lets others run; between two such calls no other green thread runs, unless
--- preemption is on. Limits are seconds: nil or math.huge is none; 0 or less
--- tries once and never switches; an expired limit returns nil, "timeout".
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local ipairs, next, rawget, require, setmetatable = ipairs, next, rawget,
  require, setmetatable

local linked <const> = core.set_home "init.lua"

-- A host may have opened few of Lua's libraries. Without debug, io, os, utf8 or
-- coroutine, everything works that does not need them; it needs the libraries
-- below.
for _, name in ipairs {"math", "string", "table"} do
  if not core.loaded()[name] then
    error("luagreen needs the library '" .. name .. "'", 0)
  end
end

-- A program that clears package.loaded and requires the module again gets the
-- same table, complete or still being loaded.
local green = core.face or {}
local loaded = core.loaded()
loaded["green"] = loaded["green"] or green
if core.face_is_complete then return green end
core.face = green

green._VERSION = "luagreen " .. core.version()

--- Functions written in C; the modules below add the rest.
for _, name in ipairs {
  "spawn", "spawn_n", "spawn_after", "current", "find_thread", "threads",
  "sleep", "wait_others", "now", "timeout", "interrupted", "deadline",
  "time_left", "event", "queue",
  "channel", "lifo_queue", "priority_queue", "select", "selector", "flag",
  "condition", "semaphore", "lock", "waitgroup", "ticker", "config", "stats",
  "type", "locals", "atomic", "port",
} do
  green[name] = core[name]
end

require "green.runtime.std"
require "green.runtime.standard"
require "green.thread.thread"

--- The other functions, by the module that defines them. Where the modules are
--- linked in, each is loaded when the program first asks for one of its
--- functions, because a host may have a state for each of its tenants, and all
--- modules together take 200 KB and 2 ms. Files are loaded now, since there may
--- be no descriptor for them later.
local late <const> = {
  {"runtime.errors", "is_timeout", "traceback", "on_error"},
  {"runtime.output", "output"},
  {"thread.interrupt", "with_timeout", "shield", "pcall"},
  {"crew.pool", "pool"},
  {"crew.group", "group"},
  {"crew.pile", "pile"},
  {"crew.wait_all", "wait_all", "as_completed"},
  {"crew.single_flight", "single_flight"},
  {"crew.resource_pool", "resource_pool"},
  {"net.net", "connect", "listen", "serve", "StopServe", "copy", "wrap_ssl",
   "socketpair", "adopt", "wait_fd"},
  {"net.datagrams", "udp", "udp_server"},
  {"runtime.dump", "dump"},
  {"bounds.blocked", "on_blocked"},
}

--- Modules that are fields: green.dag {...} and require "green.dag" {...} are
--- the same.
local modules <const> = {backdoor = true, dag = true, dns = true,
                         server = "green.net.server",
                         socket = true, ssl = true, test = true, tls = true,
                         health = true, metrics = true,
                         profile = true,
                         top = "green.watch.top", trace = true}

local home = {monkey_patch = "green.patch", import_patched = "green.patch",
              is_patched = "green.patch",
              sandbox = "green.bounds.sandbox"}
for _, module in ipairs(late) do
  for i = 2, #module do home[module[i]] = "green." .. module[1] end
end

local load_module <const> = require "green.runtime.late"

local function load_all()
  for _, module in ipairs(late) do load_module("green." .. module[1]) end
end

setmetatable(green, {
  __index = function(_, name)
    if home[name] then
      load_module(home[name])
      return rawget(green, name)
    end
    if not modules[name] then return nil end
    local module = load_module(modules[name] == true and "green." .. name
      or modules[name])
    green[name] = module
    return module
  end,
  --- Shows all functions to a program that looks around.
  __pairs = function()
    load_all()
    return next, green
  end,
})
if not linked then load_all() end

core.face_is_complete = true
return green
