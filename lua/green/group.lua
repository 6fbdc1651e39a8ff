--- Groups: structured concurrency. The block that a group is declared in does
--- not end before its children have; a child that fails takes its siblings and
--- the block with it.
---
---   local g <close> = green.group()
---   g:spawn(f) g:spawn(h)
---
--- The body of the block is in a scope of its thread: a child's failure cancels
--- the scope, so every call of the body that may block raises a child_failed
--- object, until the group is closed. The close raises the child's own error.
---
--- SPDX-License-Identifier: MIT

local crew = require "green.crew"

return function(green, core)
  local mt = core.metatable("green.group")
  local child_failed = core.metatable("green.child_failed")
  local methods <const> = core.crew_methods
  local fields <const> = methods.fields
  local Group = {spawn = methods.spawn, kill = crew.kill}
  mt.__index = Group

  --- The first failure: the siblings are killed, the body is struck. A body
  --- that has ended without closing its group is no destination any more.
  function core.policy.child_failed(group, t)
    local g = fields(group)
    g.failed = t
    g.strike = setmetatable({thread = t}, child_failed)
    if core.scope_is_open(g.scope) then
      core.scope_cancel(g.scope, g.strike)
    else
      core.spawn_n(core.policy.report, select(2, t:join(0)), t)
    end
    local reason = ("#%d %s failed"):format(t.id, t.name)
    for _, sibling in ipairs(methods.members(group)) do
      if sibling ~= t then sibling:kill(reason) end
    end
  end

  --- Raises the error of the child that failed first.
  local function raise_failure(g)
    g.failed:wait(0)
  end

  --- Waits until no child lives: true, or nil and "timeout". Raises the first
  --- failure of a child. May switch.
  ---@param s? number  time limit in seconds
  function Group:wait(s)
    local g = fields(self)
    local ok, done, err = pcall(methods.wait, self, s)
    if g.failed then raise_failure(g) end
    if not ok then error(done, 0) end
    return done, err
  end

  --- An error of the body that came after the failure of a child, which is
  --- raised in its place.
  local function report_late(g, err)
    local _, failure = g.failed:join(0)
    if err ~= nil and not core.type(err) and not rawequal(err, failure) then
      core.spawn_n(core.policy.report, err, green.current())
    end
  end

  function mt.__close(self, err)
    local g = fields(self)
    if g.closed then return end
    local failed_before = g.failed
    local ok, interruption = crew.leave(self, err)
    methods.shut(self)
    g.closed = true
    core.scope_end(g.scope)
    if g.failed and (err == nil or failed_before) then
      if failed_before then report_late(g, err) end
      raise_failure(g)
    end
    if not ok then error(interruption, 0) end
  end

  --- A group; n: at most so many of its children run at once.
  ---@param n? integer
  ---@return green.group
  function green.group(n)
    if n ~= nil and (type(n) ~= "number" or not (n >= 1)
      or n < math.huge and not math.tointeger(n)) then
      error(("bad argument #1 to 'group' (integer of at least 1 expected, "
        .. "got %s)"):format(tostring(n)), 2)
    end
    if not core.current() then
      error("'group' needs a green thread that calls it", 2)
    end
    local group = core.crew("green.group", n, "group")
    fields(group).scope = core.scope_begin()
    return group
  end
end
