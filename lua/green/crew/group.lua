--- Groups: structured concurrency. The block that declares a group does not end
--- before its children do; a failing child ends its siblings and the block.
---
---   local g <close> = green.group()
---   g:spawn(f) g:spawn(h)
---
--- The body of the block is in a scope of its thread: a child's failure cancels
--- the scope, so every call of the body that may block raises a child_failed
--- object, until the group is closed. The close raises the child's own error.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local crew = require "green.crew.crew"
local policy = require "green.runtime.policy"
local error, ipairs, pcall, rawequal, select, setmetatable, tostring =
  error, ipairs, pcall, rawequal, select, setmetatable, tostring

local mt = core.metatable("green.group")
local child_failed = core.metatable("green.child_failed")
local methods <const> = core.crew_methods
local fields <const> = methods.fields
local Group = {spawn = methods.spawn, kill = methods.kill}
mt.__index = Group

--- A group was dropped without being closed: its body leaves the scope, and a
--- first failure that it never saw is reported.
local Dropped = {__gc = function(g)
  if not g.closed then core.scope_end(g.scope) end
  local t = g.unread
  if t then crew.report(select(2, t:join(0)), t) end
end}

--- The first failure kills the siblings and strikes the body. A body that has
--- ended without closing its group no longer gets the error.
function policy.child_failed(group, t)
  local g = fields(group)
  g.failed = t
  g.strike = setmetatable({thread = t}, child_failed)
  if core.scope_is_open(g.scope) then
    g.unread = t
    core.scope_cancel(g.scope, g.strike)
  else
    crew.report(select(2, t:join(0)), t)
  end
  local reason = ("#%d %s failed"):format(t.id, t.name)
  for _, sibling in ipairs(methods.members(group)) do
    if sibling ~= t then sibling:kill(reason) end
  end
end

local function is_read(g)
  g.unread = false
end

--- Raises the error of the child that failed first.
local function raise_failure(g)
  is_read(g)
  g.failed:wait(0)
end

--- Waits until no child lives: true, or nil and "timeout". Raises the first
--- failure of a child. May switch.
---@param s? number  time limit in seconds
function Group:wait(s)
  check.self(self, mt, "wait")
  local g = fields(self)
  local ok, done, err = pcall(methods.wait, self, s)
  if g.failed then raise_failure(g) end
  if not ok then error(done, 0) end
  return done, err
end

--- An error that came after the failure of a child, which is raised instead: an
--- error of the body, or one thrown into it.
local function report_late(g, err)
  local _, failure = g.failed:join(0)
  if err ~= nil and not core.type(err) and not rawequal(err, failure)
    and not rawequal(err, core.interrupted()) then
    crew.report(err, green.current())
  end
end

--- The close is interrupted: allows no more children, and ends the scope.
local Closing = {__close = function(self)
  methods.shut(self.group)
  core.scope_end(fields(self.group).scope)
end}

--- Joins the children, or kills them first if the block was left early. Returns
--- the failure that came before that, and the interruption of the join.
local function leave(group, err)
  local g = fields(group)
  local _ <close> = g.closing
  local left, interruption = crew.join(group, err)
  local failed = g.failed
  if left then crew.finish(group, crew.LEFT) end
  return failed, interruption
end

--- Raises the first error in time; all others go to on_error.
local function close(self, err)
  check.self(self, mt, "__close")
  local g = fields(self)
  if g.closed then return end
  g.closed = true
  local body_first = err ~= nil and not g.failed
  local failed, interruption = leave(self, err)
  if failed and not body_first then
    report_late(g, err == nil and interruption or err)
    raise_failure(g)
  end
  if g.failed then
    is_read(g)
    crew.report(select(2, g.failed:join(0)), g.failed)
  end
  if interruption ~= nil then error(interruption, 0) end
end

mt.__close = methods.closing(close, nil, crew.LEFT)

--- A group; n: how many of its children may run at once.
---@param n? integer
---@return green.group
function green.group(n)
  if n ~= nil and not check.is_size(n) then
    check.bad(1, "group", "integer of at least 1 expected, got %s",
      tostring(n))
  end
  if not core.current() then
    check.misuse("'group' needs a green thread that calls it")
  end
  local group = core.crew("green.group", n, "group")
  -- All fields there will be, so that a failure is noted, and the group closed,
  -- without memory.
  local g = fields(group)
  g.failed, g.unread, g.strike, g.closed = false, false, false, false
  g.closing = setmetatable({group = group}, Closing)
  g.scope = core.scope_begin()
  setmetatable(g, Dropped)
  return group
end
