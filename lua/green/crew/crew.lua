--- The end of the blocks of pools and groups.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local core = require "green.core"
local errors = require "green.runtime.errors"
local ipairs, math, pcall, select, type = ipairs, math, pcall, select, type

local crew = {}

local methods <const> = core.crew_methods

--- Why members are killed.
crew.LEFT, crew.UNREAD = "its block was left", "nobody reads its result"

--- Kills the threads that are in it now. Never switches.
crew.kill = methods.kill

--- Kills and joins them, even if the caller is interrupted. This is bounded,
--- because kills are forced in the end and no members can join: waiting spawns
--- get an error. A member cannot join its own crew, and a host's stack cannot
--- join at all.
function crew.finish(c, reason)
  methods.shut(c)
  crew.kill(c, reason)
  if not core.current() then return end
  local _ <close> = core.shield_begin(math.huge)
  if not methods.is_member(c) then methods.wait(c) end
end

--- The program leaves the block of a crew: joins the members, unless it left by
--- an error or an interruption. Returns whether they must be killed, and the
--- interruption that came meanwhile; or before, if the block had no call that
--- raised it: a loop over blocks that only spawn would never meet it. A kill
--- may be past raising, when it is forced.
function crew.join(c, err)
  if err ~= nil then return true end
  local pending = core.interrupted()
  if core.type(pending) == "killed" then return true, pending end
  local ok, interruption = pcall(methods.wait, c)
  if not ok then return true, interruption end
  return false
end

--- To on_error, in a thread of its own.
function crew.report(err, t)
  if not core.report_later(err, t) then
    errors.report(err, t) -- the state is closing
  end
end

--- Sends failures of its members that nobody has read to on_error.
function crew.report_unread(c)
  for _, t in ipairs(methods.drop_unread(c)) do
    crew.report(select(2, t:join(0)), t)
  end
end

--- Nobody will read the results: future failures also go to on_error.
function crew.abandon(c)
  methods.let_go(c)
  crew.report_unread(c)
end

--- The steps of an input: a list, or the values of a generic for. Returns a
--- function that returns true and a step's values, or nothing; and the value to
--- close at the end.
function crew.steps(where, input, state, control, closing)
  if type(input) == "table" and not check.is_callable(input) then
    local _, hole = core.list_length(input)
    if hole then check.bad(2, where, "item %d is nil", hole) end
    local i = 0
    return function()
      i = i + 1
      if i <= #input then return true, input[i] end
    end
  end
  if not check.is_callable(input) then
    check.bad(2, where, "list or iterator expected, got %s", type(input))
  end
  if closing and core.metafield(closing, "__close") == nil then
    check.bad(5, where, "value with a __close expected, got %s", type(closing))
  end
  local over = false
  local function step(first, ...)
    control = first
    if first ~= nil then return true, first, ... end
    over = true
  end
  return function()
    if not over then return step(input(state, control)) end
  end, closing
end

return crew
