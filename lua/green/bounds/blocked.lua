--- The watchdog's reports: threads that hold up all others.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local cycles = require "green.runtime.cycles"
local policy = require "green.runtime.policy"
local report = require "green.runtime.report"
local text = require "green.runtime.text"
local pcall = pcall

--- A place is reported once in QUIET seconds. Beyond MOST_PLACES all places are
--- forgotten.
local QUIET <const>, MOST_PLACES <const> = 60, 1000

--- From a place to the time of its last report.
local told, places = {}, 0

local function is_news(where)
  local now = core.now()
  if told[where] and now - told[where] < QUIET then return false end
  if not told[where] then places = places + 1 end
  if places > MOST_PLACES then
    told, places = {}, 1
  end
  told[where] = now
  return true
end

--- The default handler. A call that was seen from outside was told of then.
local function print_blocked(info)
  if info.where and is_news(info.where) then
    report.line("green thread %s held up all others for %.2f s, %s, at %s",
      cycles.name(info.thread), info.seconds, info.what, info.where)
  end
end

local handler = print_blocked

local function hand_over(info)
  policy.blocks = (policy.blocks or 0) + 1 -- green.metrics tells it
  if info.thread then
    core.trace_mark_thread("held up all others", {seconds = info.seconds,
      what = info.what, where = info.where}, info.thread.id)
  end
  local ok, problem = pcall(handler, info)
  if not ok then report.line("on_blocked failed: %s", text.plain(problem)) end
end

function policy.blocked(thread, seconds, what, traceback, where)
  hand_over {thread = thread, seconds = seconds, what = what,
    traceback = traceback, where = where}
end

--- Of a call that is over. Its thread may be anywhere by now, or gone.
function policy.was_blocked(id, seconds)
  text.own_thread()
  local thread = green.find_thread(id)
  hand_over {thread = thread, seconds = seconds, what = "in a C call",
    traceback = thread and thread:traceback()}
end

--- Sets the handler of the watchdog's reports (config.watchdog): f(info). It
--- must not block. Returns the former handler.
---@param f? function
---@return function
function green.on_blocked(f)
  local former = handler
  if f ~= nil then
    check.callable(f, 1, "on_blocked")
    handler = f
    core.watch_quietly(f ~= print_blocked)
  end
  return former
end
