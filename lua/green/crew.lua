--- What pools and groups have in common: the end of a block.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"

local crew = {}

local methods <const> = core.crew_methods

--- Kills the threads that are in it now. Never switches.
function crew.kill(c, reason)
  for _, t in ipairs(methods.members(c)) do t:kill(reason) end
end

--- Kills and joins them, however the caller is interrupted: bounded, because
--- they climb the ladder. A member that ends its own crew joins the others.
function crew.finish(c, reason)
  crew.kill(c, reason)
  local _ <close> = core.shield_begin(math.huge)
  if not methods.is_member(c) then methods.wait(c) end
end

--- The block of a crew is left: joins the members; if it was left by an error
--- or an interruption, or if one comes meanwhile, kills them first. Returns
--- false and the interruption that came meanwhile.
function crew.leave(c, err)
  local ok, interruption = true, nil
  if err == nil and core.interrupted() == nil then
    ok, interruption = pcall(methods.wait, c)
  end
  if not ok or err ~= nil or core.interrupted() ~= nil then
    crew.finish(c, "its block was left")
  end
  return ok, interruption
end

--- The failures of its members that nobody has read go to on_error.
function crew.report_unread(c)
  for i, t in pairs(methods.fields(c)) do
    methods.fields(c)[i] = nil
    if core.type(t) == "thread" and t:status() == "failed" then
      local _, err = t:join(0)
      if not pcall(core.spawn_n, core.policy.report, err, t) then
        core.policy.report(err, t) -- the state is closing
      end
    end
  end
end

--- The steps of an input: of a list, or of the values of a generic for.
--- Returns a function that returns true and a step's values, or nothing; and
--- what is to be closed at the end.
function crew.steps(where, input, state, control, closing)
  if type(input) == "table" and not (getmetatable(input) or {}).__call then
    local i = 0
    return function()
      i = i + 1
      if i <= #input then return true, input[i] end
    end
  end
  local mt = getmetatable(input)
  if type(input) ~= "function" and not (mt and mt.__call) then
    error(("bad argument #2 to '%s' (list or iterator expected, got %s)")
      :format(where, type(input)), 4)
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

function crew.check_callable(f, n, where, level)
  local mt = getmetatable(f)
  if type(f) ~= "function" and not (mt and mt.__call) then
    error(("bad argument #%d to '%s' (function expected, got %s)")
      :format(n, where, type(f)), level)
  end
end

return crew
