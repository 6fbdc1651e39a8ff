--- The policies of green threads.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local ipairs, math, require, setmetatable, tostring =
  ipairs, math, require, setmetatable, tostring

local TIED <const> = core.keys.tied

local mt = core.metatable("green.thread")

--- Modules that are loaded when they are needed; kept, because the program may
--- clear package.loaded.
local modules = {}
local function late(name)
  modules[name] = modules[name] or require(name)
  return modules[name]
end
local function check() return late "green.runtime.check" end
local function errors() return late "green.runtime.errors" end

-- All error objects print, and can be joined to a log line.
for _, name in ipairs {"green.timeout", "green.killed", "green.child_failed",
                       "green.deadlock"} do
  local class = core.metatable(name)
  class.__tostring = function(err) return errors().print(name, err) end
  class.__concat = function(a, b) return tostring(a) .. tostring(b) end
end

--- The Lua stack of a thread, now or at the moment of its error. Then the place
--- of its spawn and, if the error came out of a wait for another thread, that
--- thread's traceback.
---@return string
function mt.__methods.traceback(t) return errors().thread_traceback(t) end

--- A handle has no finalizer, because one would double the price of a spawn.
--- Code that looks for one finds a function that does nothing, behind the
--- metatable, where the collector does not look.
setmetatable(mt, {__index = {__gc = function(t)
  if core.type(t) ~= "thread" then
    check().bad(1, "__gc", "green thread expected")
  end
end}})

--- Closing a handle always kills the thread and joins it, and never raises. The
--- join is shielded, and bounded, because a kill is forced in the end.
function mt.__close(t)
  if core.type(t) ~= "thread" then check().self(t, mt, "__close") end
  if t == green.current() then return end
  t:kill()
  if not green.current() then return end -- a host's stack cannot join
  local _ <close> = core.shield_begin(math.huge)
  core.await_end(t)
end

--- Forgets those that have started or ended, when the list has doubled.
local function prune(list)
  local kept = {}
  for _, t in ipairs(list) do
    if t:status() == "new" then kept[#kept + 1] = t end
  end
  kept.limit = math.max(16, 2 * #kept)
  return kept
end

--- Spawns f(...) after s seconds, unless the calling thread ends first.
---@param s number       seconds
---@param f function
---@return green.thread
function green.spawn_after_local(s, f, ...)
  check().seconds(s, 1, "spawn_after_local")
  check().callable(f, 2, "spawn_after_local")
  local rare = core.rare()
  if not rare then
    check().misuse("'spawn_after_local' needs a green thread that calls it")
  end
  local t = core.spawn_after(s, f, ...)
  local list = rare[TIED] or {limit = 16}
  if #list >= list.limit then list = prune(list) end
  list[#list + 1] = t
  rare[TIED] = list
  return t
end

--- Kills all other green threads and waits for their end. May switch.
---@param s? number  time limit in seconds
---@return true?, "timeout"?
function green.shutdown(s)
  check().limit(s, 1, "shutdown")
  local me = green.current()
  for _, t in ipairs(green.threads()) do
    if t ~= me then t:kill("shutdown") end
  end
  return core.wait_others(s)
end
