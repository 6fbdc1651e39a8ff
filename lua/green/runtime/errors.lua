--- Errors: the objects that strike a thread, the handler of uncaught ones, and
--- tracebacks that follow an error from thread to thread.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local policy = require "green.runtime.policy"
local report = require "green.runtime.report"
local cycles = require "green.runtime.cycles"
local text = require "green.runtime.text"
local ipairs, pcall, rawequal, select, setmetatable, table =
  ipairs, pcall, rawequal, select, setmetatable, table

local CAUSE <const> = core.keys.cause

local errors = {}

--- By class: the function that makes the text of an object.
local printers = {}

local function printable(name, to_string, inner)
  local mt = core.metatable(name)
  printers[name] = to_string
  text.declare(mt.__tostring, inner)
  return mt
end

--- Their __tostring.
function errors.print(name, err)
  if core.type(err) ~= name:match "^green%.(.*)$" then
    check.wrong(1, "__tostring", name, err)
  end
  return printers[name](err)
end

local function error_of(t)
  return select(2, t:join(0))
end

printable("green.timeout", function(t)
  local seconds = t.seconds
  return ("timeout: %s s, set at %s"):format(
    seconds and ("%g"):format(seconds) or "no", t.where)
end)
printable("green.killed", function(k)
  return k.reason == nil and "killed" or "killed: " .. text.of(k.reason)
end, function(k) return k.reason end)
printable("green.child_failed", function(c)
  return ("group: %s failed: %s"):format(cycles.name(c.thread),
    text.of(error_of(c.thread)))
end, function(c) return error_of(c.thread) end)
local deadlock = printable("green.deadlock", function(d)
  local lines = {"deadlock: nothing can ever wake these green threads:"}
  for _, t in ipairs(d.threads) do
    lines[#lines + 1] = ("  #%d %s: %s since %.3f s, at %s"):format(t.id,
      cycles.one_line(t.name), t.what, d.at - t.since, t.where or "?")
  end
  for _, cycle in ipairs(d.cycles or {}) do
    lines[#lines + 1] = "  in a cycle: " .. cycle
  end
  return table.concat(lines, "\n")
end)

--- Is it the end of a time limit: any timeout object, or the string "timeout"?
---@param err any
---@return boolean
function green.is_timeout(err)
  return err == "timeout" or core.type(err) == "timeout"
end

--- The error object that main gets when nothing can wake any thread. The
--- arguments: the operation in which main waited, since when, on which object.
function policy.deadlock(what, since, on)
  local mine = {what = what, since = since, where = core.place(), on = on}
  local d = setmetatable({threads = {}, at = core.now()}, deadlock)
  local me, all = green.current(), green.threads()
  local found = cycles.find(all, {[me] = mine})
  if found[1] then d.cycle, d.cycles = found[1], found end
  for _, t in ipairs(all) do
    local w = t == me and mine or t:blocked()
    if w then
      d.threads[#d.threads + 1] = {id = t.id, name = t.name,
        what = w.what, since = w.since, where = w.where}
    end
  end
  return d
end

----------------------------------------------------------- tracebacks --

local function cause_text(t, err)
  local cause = core.rare(t)[CAUSE]
  if not cause or not rawequal(cause[1], err) or cause[2] == t then
    return ""
  end
  return ("\ncaused by %s:\n%s"):format(cycles.name(cause[2]),
    cause[2]:traceback())
end

--- The place where it was spawned, and its spawner. `find` returns the thread
--- of an id.
function errors.spawn_text(t, find)
  local where, by = core.spawned_at(t)
  if not by then return "" end
  local parent = find(by)
  return ("\nspawned %sby %s"):format(where and "at " .. where .. " " or "",
    parent and cycles.name(parent) or "#" .. by)
end

--- The spawner that was looked for last; false: it has ended. Among 100,000
--- threads a search takes a millisecond, and a server's threads that fail have
--- one spawner.
local last = setmetatable({id = 0, thread = false}, {__mode = "v"})

local function find_spawner(id)
  local t = last.thread
  if id ~= last.id or t == nil then t = green.find_thread(id) or false end
  if t and t:has_ended() then t = false end
  last.id, last.thread = id, t
  return t
end

--- Its method traceback: see thread/thread.lua.
function errors.thread_traceback(t)
  local stack = (core.stack_text(t) or "stack traceback:\n\t(none)")
    .. errors.spawn_text(t, find_spawner)
  if t:status() ~= "failed" then return stack end
  return stack .. cause_text(t, error_of(t))
end

--- For xpcall: the error as a string, with a traceback of its place and those
--- of its causes in other threads.
---@param err? any
---@return string
function green.traceback(err)
  local stack = core.traceback(err ~= nil and text.of(err) or nil, 2)
  local me = green.current()
  return me and stack .. cause_text(me, err) or stack
end

------------------------------------------------------------- on_error --

--- Indents the further lines of a message, so that none of them looks like the
--- beginning of another report.
local function indented(message)
  return (message:gsub("\n(%S)", "\n  %1"))
end

--- The default handler of errors for which no thread waits. May switch.
local function print_error(err, t)
  if not report.begin() then return end
  report.write(("luagreen: green thread %s failed: %s\n%s\n"):format(
    cycles.name(t), indented(text.patient(err)), t:traceback()))
end

--- A timeout was caught 1,000 times and is still pending.
policy.plain = text.plain

function policy.swallowed(timeout)
  report.line("green thread %s keeps swallowing its %s",
    cycles.name(green.current()), text.plain(timeout))
end

local handler = print_error

--- Sets the handler of errors for which no thread waits: f(err, thread), in a
--- green thread of its own; it may block. Returns the former handler.
---@param f? function
---@return function
function green.on_error(f)
  local former = handler
  if f ~= nil then
    check.callable(f, 1, "on_error")
    handler = f
  end
  return former
end

--- Error values that are not failures: they are never reported.
local silent = setmetatable({}, {__mode = "k"})

function errors.silence(value)
  silent[value] = true
end

--- Hands an error to the handler. May switch.
function errors.report(err, t)
  if err ~= nil and err == err and silent[err] then return end
  local ok, problem = pcall(handler, err, t)
  if ok or rawequal(problem, green.interrupted()) then return end
  report.line("on_error failed: %s", indented(text.plain(problem)))
  if handler ~= print_error then print_error(err, t) end
end

--- The base of a thread that is made for one report.
function policy.report(err, t)
  text.own_thread()
  errors.report(err, t)
end

--- Tells the program's operator of an event that is not a thread's failure, by
--- a line on stderr or, if the program has a handler for errors, by an error
--- for that. Never switches.
---@param message string
function errors.notice(message)
  if handler == print_error then
    report.line("%s", message)
  else
    core.report_later(message, core.current())
  end
end

return errors
