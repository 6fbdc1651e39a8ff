--- monkey_patch: existing code on green threads.
---
--- Today it replaces `require` alone. The stock function does not know which
--- modules are being loaded: while a module's body blocks, a second thread that
--- requires the module loads it once more. The replacement makes that thread
--- wait; a cycle of modules that wait for each other is an error that names
--- them. A name is guarded exactly while its loader runs.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local cycles = require "green.runtime.cycles"
local _G, math, pairs, rawget, select, setmetatable, table, tostring, type =
  _G, math, pairs, rawget, select, setmetatable, table, tostring, type

local loaded <const> = core.loaded()
local package = package or {}

--- The modules that are being loaded, by name. An entry has its name, its
--- thread (nil: none runs here), an event for the threads that wait, and the
--- entry that the same thread was loading before, which requires it.
local loading = {}
--- By thread: the innermost entry that it loads, and the one it waits for.
local innermost, awaited = {}, {}
local NONE <const> = "no green thread"

---------------------------------------------------------------- cycles --

--- A thread that waits for a module waits for the thread that loads it.
cycles.awaited.event = function(on, _, t)
  local entry = awaited[t]
  if not entry or entry.over or entry.ended ~= on then return nil end
  return {entry.thread}, ("require of '%s' by"):format(
    cycles.one_line(entry.name))
end

--- Would waiting for it never end? It would if its thread waits for an entry of
--- another, and so on, back to the asking thread. A wait for an entry that is
--- over ends when the waiter next runs.
local function leads_to(entry, me)
  while entry and not entry.over do
    if entry.thread == me then return true end
    entry = entry.thread and awaited[entry.thread]
  end
  return false
end

--- The modules from this entry to the innermost of its thread, outermost first.
local function add_chain(entry, chain)
  local names, at = {}, innermost[entry.thread or NONE]
  while at do
    table.insert(names, 1, ("'%s' (%s)"):format(cycles.one_line(at.name),
      at.thread and cycles.name(at.thread) or NONE))
    if at == entry then break end
    at = at.outer
  end
  table.move(names, 1, #names, #chain + 1, chain)
end

local function raise_cycle(entry, me)
  local chain, at = {}, entry
  repeat
    add_chain(at, chain)
    local last = at.thread == me
    at = not last and awaited[at.thread]
  until not at
  chain[#chain + 1] = ("'%s'"):format(cycles.one_line(entry.name))
  check.misuse("modules that require each other: %s",
    table.concat(chain, " -> "))
end

--------------------------------------------------------------- loading --

-- Searchers and loaders are called from C, as the stock require does: then
-- their errors name no place, and a module's body cannot yield to a coroutine
-- that may never resume it.

--- The first loader that package.searchers find, and its data.
local function find_loader(name)
  local searchers = package.searchers
  if type(searchers) ~= "table" then
    check.misuse("'package.searchers' must be a table")
  end
  local messages = {}
  for i = 1, math.huge do
    local searcher = rawget(searchers, i)
    if searcher == nil then break end
    local loader, data = core.call(searcher, name)
    if type(loader) == "function" then return loader, data end
    if type(loader) == "string" or type(loader) == "number" then
      messages[#messages + 1] = loader
    end
  end
  check.misuse("module '%s' not found:%s", name,
    #messages > 0 and "\n\t" .. table.concat(messages, "\n\t") or "")
end

--- Does the work of the stock require after it knows that it must load.
local function load_module(name)
  local loader, data = find_loader(name)
  local value = core.call(loader, name, data)
  if value ~= nil then loaded[name] = value end
  if loaded[name] == nil then loaded[name] = true end
  return loaded[name], data
end

local Guard = {__close = function(entry)
  loading[entry.name] = nil
  innermost[entry.thread or NONE] = entry.outer
  entry.over = true
  entry.ended:send()
end}

local function guarded_load(name, me)
  local entry <close> = setmetatable({name = name, thread = me,
    outer = innermost[me or NONE], ended = core.event()}, Guard)
  loading[name] = entry
  innermost[me or NONE] = entry
  return load_module(name)
end

local Waiting = {__close = function(w) awaited[w.thread] = nil end}

local function wait_for(entry, me)
  if not me or not entry.thread then
    check.misuse("module '%s' is being loaded by %s, and cannot be waited for "
      .. "here", entry.name, entry.thread and cycles.name(entry.thread) or NONE)
  end
  local _ <close> = setmetatable({thread = me}, Waiting)
  awaited[me] = entry
  entry.ended:wait()
end

local function check_name(...)
  local name = ...
  if type(name) == "string" then return name end
  if type(name) == "number" then return tostring(name) end
  check.bad(1, "require", "string expected, got %s",
    select("#", ...) == 0 and "no value" or type(name))
end

--- require, but a module that another thread is loading is waited for.
local function guarded_require(...)
  local name = check_name(...)
  local me, entry = nil, loading[name]
  if entry then
    me = green.current()
    -- If the load fails or is killed, the next thread tries.
    while entry and not leads_to(entry, me) do
      wait_for(entry, me)
      entry = loading[name]
    end
  end
  local value = loaded[name]
  if value then return value end
  if entry then raise_cycle(entry, me) end
  return guarded_load(name, me or green.current())
end

--------------------------------------------------------------- patches --

--- By name: installs the replacement and returns the original.
local patches = {}
local originals = {}

function patches.require()
  local plain = _G.require
  _G.require = guarded_require
  return plain
end

local function check_names(names)
  check.value(names, "table", 1, "monkey_patch")
  for name, wanted in pairs(names) do
    if not patches[name] then
      check.misuse("unknown name '%s' in 'monkey_patch'", tostring(name))
    elseif type(wanted) ~= "boolean" then
      check.misuse("bad value for '%s' in 'monkey_patch' (%s expected, got %s)",
        name, "boolean", type(wanted))
    end
  end
end

--- Replaces functions of the standard library, those named or all, by functions
--- that know of green threads. Never switches.
---@param names? table<string, boolean>
---@return table<string, any> originals
function green.monkey_patch(names)
  if names ~= nil then check_names(names) end
  local captured = {}
  for name, patch in pairs(patches) do
    if not names or names[name] then
      if originals[name] == nil then originals[name] = patch() end
      captured[name] = originals[name]
    end
  end
  return captured
end

--- Was that name replaced? Never switches.
---@param name string
---@return boolean
function green.is_patched(name)
  check.value(name, "string", 1, "is_patched")
  return originals[name] ~= nil
end
