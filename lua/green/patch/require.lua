--- Functions like require that know which modules are being loaded.
---
--- The stock one does not: while a module's body blocks, a second thread that
--- requires the module loads it once more. These make that thread wait; a cycle
--- of modules that wait for each other is an error that names them. A name is
--- guarded exactly while its loader runs, however that ends.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local cycles = require "green.runtime.cycles"
local math, rawget, select, setmetatable, table, tostring, type =
  math, rawget, select, setmetatable, table, tostring, type

local loaded <const> = core.loaded()
local package = package or {}

--- A module that is being loaded is an entry. It has its name, its thread (nil:
--- none runs here), an event for the threads that wait, and the entry that the
--- same thread was loading before, which requires it. By thread: the innermost
--- entry that it loads, and the one it waits for.
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

--- Would waiting for it never end? Its thread waits for an entry of another,
--- and so on, to the one that asks. A waiter of an
--- entry that is over is about to go on.
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

--- The first loader that package.searchers find, and its data. A loader that
--- `skip` accepts is passed over.
local function find_loader(name, skip)
  local searchers = package.searchers
  if type(searchers) ~= "table" then
    check.misuse("'package.searchers' must be a table")
  end
  local messages = {}
  for i = 1, math.huge do
    local searcher = rawget(searchers, i)
    if searcher == nil then break end
    local loader, data = core.call(searcher, name)
    if type(loader) == "function" then
      if not skip or not skip(loader) then return loader, data end
    elseif type(loader) == "string" or type(loader) == "number" then
      messages[#messages + 1] = loader
    end
  end
  check.misuse("module '%s' not found:%s", name,
    #messages > 0 and "\n\t" .. table.concat(messages, "\n\t") or "")
end

local Guard = {__close = function(entry)
  entry.loading[entry.name] = nil
  innermost[entry.thread or NONE] = entry.outer
  entry.over = true
  entry.ended:send()
end}

--- Does the work of the stock require after it knows that it must load.
local function guarded_load(loader, name, me)
  local entry <close> = setmetatable({name = name, thread = me,
    outer = innermost[me or NONE], ended = core.event(),
    loading = loader.loading}, Guard)
  loader.loading[name] = entry
  innermost[me or NONE] = entry
  local body, data = loader.find(name)
  local value = core.call(body, name, data)
  local modules = loader.loaded
  if value ~= nil then modules[name] = value end
  if modules[name] == nil then modules[name] = true end
  return modules[name], data
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

--- The work of require: waits for a module that another thread loads.
local function guarded_require(loader, ...)
  local name = check_name(...)
  local me, entry = nil, loader.loading[name]
  if entry then
    me = green.current()
    -- A load may fail or be killed: then the next thread tries.
    while entry and not leads_to(entry, me) do
      wait_for(entry, me)
      entry = loader.loading[name]
    end
  end
  local value = loader.loaded[name]
  if value then return value end
  if entry then raise_cycle(entry, me) end
  return guarded_load(loader, name, me or green.current())
end

--- A function like require for the modules of a table.
---@param modules table<string, any>
---@param find fun(name: string): function, any  a module's loader and its data
---@return fun(name: string): any, any
local function new(modules, find)
  local loader = {loaded = modules, find = find, loading = {}}
  return function(...) return guarded_require(loader, ...) end
end

return {new = new, find = find_loader, guarded = new(loaded, find_loader)}
