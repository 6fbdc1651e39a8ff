--- luagreen: green threads for Lua 5.4 and 5.5.
---
--- `local green = require "green"` is all there is to set up: there is no main
--- loop to call. A function marked "May switch" blocks the calling green
--- thread and lets others run; between two such calls no other green thread
--- runs. Limits are seconds: nil or math.huge is none; 0 or less tries once
--- and never switches; an expired limit returns nil, "timeout".
---
--- SPDX-License-Identifier: MIT

-- The table behind it, for what is called often: see bindings/open/open.c.
local core = getmetatable(require "green.core").__index
local host = require "green.runtime.host"

core.set_home(debug.getinfo(1, "S").source:match("^(.*)init%.lua$") or "=")

---@class green
local green = {
  _VERSION = "luagreen " .. core.version(),
  spawn = core.spawn,
  spawn_n = core.spawn_n,
  spawn_after = core.spawn_after,
  current = core.current,
  find_thread = core.find_thread,
  sleep = core.sleep,
  wait_others = core.wait_others,
  now = core.now,
  timeout = core.timeout,
  interrupted = core.interrupted,
  deadline = core.deadline,
  event = core.event,
  queue = core.queue,
  channel = core.channel,
  lifo_queue = core.lifo_queue,
  priority_queue = core.priority_queue,
  select = core.select,
  selector = core.selector,
  flag = core.flag,
  condition = core.condition,
  semaphore = core.semaphore,
  lock = core.lock,
  waitgroup = core.waitgroup,
  ticker = core.ticker,
  config = core.config,
  stats = core.stats,
  type = core.type,
  locals = core.locals,
}

--- Modules that are loaded when first asked for.
local modules = {backdoor = true}

setmetatable(green, {
  __index = function(_, name)
    if modules[name] then
      local module = require("green." .. name)
      green[name] = module
      return module
    end
  end,
})

package.loaded["green"] = package.loaded["green"] or green

require "green.runtime.errors"(green, core)
require "green.runtime.output"(green, core)
require "green.thread.thread"(green, core)
require "green.thread.interrupt"(green, core)
require "green.crew.pool"(green, core)
require "green.crew.group"(green, core)
require "green.crew.pile"(green, core)
require "green.crew.many"(green, core)
require "green.crew.single_flight"(green, core)
require "green.crew.resource_pool"(green, core)
require "green.net.net"(green, core)
require "green.runtime.patch"(green, core)
require "green.runtime.dump"(green, core)
host(green, core)

return green
