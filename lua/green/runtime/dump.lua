--- green.dump: everything about every live thread, as text.
---
--- The whole text is made first, without a switch, so that it shows one moment;
--- then it is written. An odd thread (a name of several lines, an object with a
--- __tostring that raises) must not spoil the rest: no __tostring is called,
--- and each thread is described in a protected call.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local errors = require "green.runtime.errors"
local policy = require "green.runtime.policy"
local report = require "green.runtime.report"
local cycles = require "green.runtime.cycles"
local ipairs, math, pcall, table, tostring, type =
  ipairs, math, pcall, table, tostring, type

local io, os = io, os
local open, date = io and io.open, os and os.date

--- Figures of stats() that a header line shows, in this order.
local FIGURES <const> = {"threads", "ready", "kept", "stacks", "timers",
  "external", "spawned", "switches", "polls", "sleeps"}

--- An object, in a word. No __tostring of the program's own is called: it
--- might raise, or switch.
local function object(value)
  return ("%s: %p"):format(core.type(value) or type(value), value)
end

local function header()
  local s = green.stats()
  local parts = {}
  for i, name in ipairs(FIGURES) do
    parts[i] = ("%s %d"):format(name, s[name])
  end
  return ("%s: dump%s, up %.3f s, idle %.3f s; %s"):format(
    green._VERSION, date and date " of %Y-%m-%d %H:%M:%S" or "", s.uptime,
    s.idle, table.concat(parts, ", "))
end

--- Names at most this many of the threads that a thread waits for.
local MOST_NAMES <const> = 10

--- " on queue: 0x1234...", or the threads behind it: " (lock of #3 store)".
local function awaited(t, w)
  local list, how = cycles.edges(t, w)
  if #list > 0 then
    local names = {}
    for i = 1, math.min(#list, MOST_NAMES) do
      names[i] = cycles.name(list[i])
    end
    if #list > MOST_NAMES then names[MOST_NAMES + 1] = "..." end
    return (" (%s %s)"):format(how, table.concat(names, ", "))
  end
  return w.on ~= nil and (" on %s"):format(object(w.on)) or ""
end

local function wait_text(t)
  local w = t:blocked()
  if not w then return "" end
  local now = green.now()
  return (" in %s%s for %.3f s%s%s"):format(w.what, awaited(t, w),
    now - w.since,
    w.deadline and (", %.3f s left"):format(w.deadline - now) or "",
    w.where and ", at " .. w.where or "")
end

--- As t:traceback(), for a live thread, but with a quicker find_thread(), which
--- looks at all threads each time.
local function stack(t, find)
  local text = (core.stack_text(t) or "stack traceback:\n\t(none)")
    .. errors.spawn_text(t, find)
  return "  " .. text:gsub("\n", "\n  ")
end

local function describe(t, find)
  local limit = core.limit_of(t)
  return ("%s: %s%s%s\n%s"):format(cycles.name(t), t:status(), wait_text(t),
    limit and (", timeout in %.3f s"):format(limit) or "", stack(t, find))
end

--- Returns a function from an id to its thread.
local function finder(list)
  local by_id = {}
  for _, t in ipairs(list) do by_id[t.id] = t end
  return function(id) return by_id[id] end
end

local function dump_text(leave_out)
  local lines, list = {header()}, green.threads()
  local find = finder(list)
  for _, t in ipairs(list) do
    if t ~= leave_out then
      local ok, text = pcall(describe, t, find)
      lines[#lines + 1] = ok and text
        or ("#%d: %s"):format(t.id, cycles.one_line(tostring(text)))
    end
  end
  local found = cycles.find(list)
  for i, cycle in ipairs(found) do
    lines[#lines + 1] = (i == 1 and "cycles:\n  " or "  ") .. cycle
  end
  return table.concat(lines, "\n") .. "\n"
end

local function write_file(path, text)
  if not open then return nil, "the library 'io' is not loaded" end
  local file <close>, err = open(path, "a")
  if not file then return nil, err end
  local ok
  ok, err = file:write(text)
  if ok then return true end
  return nil, err
end

--- Writes a description of every live thread, and of the cycles among them, to
--- stderr, to the end of the file of that name, or to an object with write.
--- Never switches, unless that write does.
---@param file? string|userdata|table
---@return true? ok, string? err
function green.dump(file)
  if type(file) == "string" then return write_file(file, dump_text()) end
  if file == nil then return report.write(dump_text(), true) or true end
  if not report.has_write(file) then
    check.wrong(1, "dump", "file name or file", file)
  end
  local ok, err = file:write(dump_text())
  if ok == nil and err then return nil, err end
  return true
end

--- The body of the thread that config.dump_signal makes. Nothing to do if
--- there was a dump while threads before it computed.
function policy.dump()
  if not core.wants_dump() then return end
  local me = green.current()
  me.name = "dump"
  report.write(dump_text(me), true)
end

--- Where the dump has no turn: the code that runs has a hook in which this is
--- called, or is that of another state.
function policy.dump_stuck(seconds, in_c)
  local t = green.current()
  local what = in_c and "was in a call of C until now" or "computes"
  report.write(("luagreen: the dump had no turn for %.1f s since the signal"
    .. "%s\n"):format(seconds, t and (": %s %s"):format(cycles.name(t), what)
    or "") .. dump_text(), true)
end
