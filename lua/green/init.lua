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
local require, setmetatable = require, setmetatable

core.set_home "init.lua"

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
  "spawn", "spawn_n", "spawn_after", "current", "find_thread", "sleep",
  "wait_others", "now", "timeout", "interrupted", "deadline",
  "time_left", "event", "queue",
  "channel", "lifo_queue", "priority_queue", "select", "selector", "flag",
  "condition", "semaphore", "lock", "waitgroup", "ticker", "config", "stats",
  "type", "locals", "atomic", "port",
} do
  green[name] = core[name]
end

require "green.runtime.std"
require "green.runtime.errors"
require "green.runtime.output"
require "green.thread.thread"
require "green.thread.interrupt"
require "green.crew.pool"
require "green.crew.group"
require "green.crew.pile"
require "green.crew.wait_all"
require "green.crew.single_flight"
require "green.crew.resource_pool"
require "green.net.net"
require "green.net.datagrams"
require "green.runtime.dump"
require "green.bounds.blocked"
require "green.runtime.standard"

--- Modules that are loaded when they are first asked for: green.dag {...} and
--- require "green.dag" {...} are the same; and functions of such modules.
local modules <const> = {backdoor = true, dag = true, dns = true,
                         server = "green.net.server",
                         socket = true, ssl = true, test = true, tls = true,
                         health = true, metrics = true,
                         top = "green.watch.top", trace = true}

local functions <const> = {monkey_patch = true, import_patched = true,
                           is_patched = true}

setmetatable(green, {
  __index = function(_, name)
    if functions[name] then return require "green.patch"[name] end
    if not modules[name] then return nil end
    local module = require(modules[name] == true and "green." .. name
      or modules[name])
    green[name] = module
    return module
  end,
})

core.face_is_complete = true
return green
