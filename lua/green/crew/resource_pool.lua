--- A pool of resources: connections, handles, anything expensive to make.
---
--- A permit stands for the right to one item. Permits lie in a C queue, whose
--- waits are first come, first served, and survive any way a waiter may end;
--- a permit that is out belongs to one lease, from the moment it was got until
--- it is put back. Idle items stand in a list beside it, the last used at its
--- end:
---
---   total       permits there are: in the queue, promised to woken waiters,
---               out
---   out         permits of leases, of items under way or being destroyed
---   idle_count  never more than total - out
---   live        items that are idle or leased
---   moving      the leases that no program has, or not any more: from before
---               the permit is got until the lease is handed out, and from the
---               end of its block until the permit is back
---   owed        how many of them wait only for finish()
---
--- Any call may fail where memory is short, or the stack of C too deep. So the
--- end of a block begins with a note, which calls nothing: the lease is moving,
--- and `ending`, and owed. The next caller of lease() finishes what cannot be
--- finished then, and the moving leases of threads that ended past their
--- handlers.
---
--- The holder of a permit takes an idle item, and makes one only when there is
--- none. So there are never more items than permits, and an idle one is
--- preferred. total follows max: items that are too many go when they come
--- back.
---
--- Between two calls that may switch nothing else runs; around those that may
--- (create, check, reset) a to-be-closed value stands for the permit. An item
--- is destroyed in a thread of its own, which takes the permit along: kills and
--- limits of the leasing thread cannot reach it, and its errors cannot reach
--- that thread. A thread that is ended by force could not do it at all: shields
--- do not hold.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local errors = require "green.runtime.errors"
require "green.thread.interrupt" -- core.note_traceback
local error, getmetatable, math, pairs, pcall, rawequal, setmetatable, xpcall =
  error, getmetatable, math, pairs, pcall, rawequal, setmetatable, xpcall

--- Seconds that destroy and reset may take, whatever strikes meanwhile.
local CLEAN_UP <const> = 5
--- Items of a pool: each permit is a value in memory. A million takes 16 MB and
--- 0.1 s, and 2^53, as somebody might write for "any number", all there is.
local MOST <const> = 1000000
--- A deadline: waits for nobody, but lets create and check take their time.
local NOW <const> = -math.huge
local TRACEBACK <const> = core.keys.traceback

local known = {create = "function", destroy = "function", check = "function",
               reset = "function", min = "integer", max = "integer",
               max_age = "seconds", max_idle = "seconds"}

local function check_options(opts)
  check.value(opts, "table", 1, "resource_pool")
  check.options(opts, known, 1, "resource_pool")
  if not opts.create then
    check.misuse("option 'create' is missing in 'resource_pool'")
  end
end

local function check_max(max, min, what)
  if max < 1 or max < min then
    check.misuse("%s (at least %d expected)", what, math.max(1, min))
  elseif max > MOST then
    check.misuse("%s (at most %d expected)", what, MOST)
  end
end

local Pool, Lease = {}, {}
local pool_mt = core.metatable "green.resource_pool"
pool_mt.__index = Pool
local lease_mt = core.metatable "green.lease"
lease_mt.__index = Lease

------------------------------------------------------------------ lists --

--- Idle items and moving leases stand in lists that are linked through
--- themselves: they enter without memory, and leave from anywhere at once.
local function new_list()
  local list = {prev = false, next = false}
  list.prev, list.next = list, list
  return list
end

local function append(list, x)
  local last = list.prev
  x.prev, x.next = last, list
  last.next, list.prev = x, x
end

local function unlink(x)
  x.prev.next, x.next.prev = x.next, x.prev
  x.prev, x.next = false, false
end

local function push_idle(pool, entry)
  append(pool.idle, entry)
  pool.idle_count = pool.idle_count + 1
end

--- Takes an idle item, from the end or the beginning; false: there is none.
local function pop_idle(pool, which)
  local entry = pool.idle[which]
  if entry == pool.idle then return false end
  unlink(entry)
  pool.idle_count = pool.idle_count - 1
  return entry
end

--------------------------------------------------------------- permits --

--- Gives the permit of a lease back when its item has been destroyed.
local Dying = {}

--- Stands for the item while it is reset.
local Return = {}

--- The leases that are not over, and their pools: a test that calls nothing, as
--- the end of a block begins with it.
local pool_of = setmetatable({}, {__mode = "k"})

--- A lease, made before its permit is got: nothing may fail between that and
--- the note that it is held, so no call comes between. All its fields are made
--- now for the same reason.
---   owner  the thread that got it
---   held   it has a permit
---   entry  its item, and what the pool knows about that
---   item   what is to be destroyed; false: that has begun
---   dying  its item is to be destroyed, or is being destroyed
---   ending, owes  see above
local function new_lease(pool)
  local lease = setmetatable({pool = pool, owner = green.current() or false,
    held = false, entry = false, item = false, guard = false, dying = false,
    over = false, destroyer = false, prev = false, next = false, back = false,
    ending = false, owes = false, again = false}, lease_mt)
  if pool.options.reset then
    lease.back = setmetatable({pool = pool, lease = lease, fit = false,
      again = false}, Return)
  end
  pool_of[lease] = pool
  if pool.options.destroy then
    lease.guard = setmetatable({pool = pool, lease = lease, again = false},
      Dying)
  end
  return lease
end

--- The permit goes back, and the lease is over. put may raise: then nothing has
--- changed.
local function release(lease)
  local pool = lease.pool
  if lease.held then
    if pool.total > pool.max then
      pool.total = pool.total - 1
    elseif not pool.closed then
      pool.permits:put(true, 0)
    end
    lease.held, pool.out = false, pool.out - 1
  end
  pool_of[lease] = nil
  if lease.next then unlink(lease) end
  if pool.out == 0 and pool.gone then
    pool.gone:send()
    pool.gone = false
  end
end

-------------------------------------------------------------- destroying --

local finish

Dying.__close = core.lease_closing(function(self)
  local lease = self.lease
  local pool = lease.pool
  if not lease.dying then return end
  if lease.ending and not lease.owes then
    lease.owes, pool.owed = true, pool.owed + 1
  end
  lease.dying = false
  if lease.ending then finish(lease) end
  if lease.over then lease.over:send() end
  lease.over = false
end)

local function bounded(f, item)
  local _ <close> = core.timeout(CLEAN_UP)
  return f(item)
end

--- Where no green thread runs nothing strikes, and f cannot block.
local function shielded(f, item)
  if not green.current() then return f(item) end
  return green.shield(CLEAN_UP, bounded, f, item)
end

--- Calls destroy, then gives the permit back, unless that is done or under way.
--- The thread fails with an error of destroy.
local function destroy(_, lease)
  local item = lease.item
  if not item then return end
  local _ <close> = lease.guard
  lease.item = false
  shielded(lease.pool.options.destroy, item)
end

--- With memory short, the link or reclaim() does what this cannot do.
local function destroyer(lease)
  green.current():unlink(destroy)
  return destroy(nil, lease)
end

--- Links run also for a thread that was killed before it ran, and while the
--- program ends.
local function start_destroyer(lease)
  local ok, t = pcall(green.spawn, destroyer, lease)
  if ok then
    lease.destroyer = t
    t:link(destroy, lease)
    t.name = "resource_pool destroy"
  else -- there are too many threads, or none any more: the state closes
    lease.destroyer = green.current() or false
    local done, err = xpcall(destroy, core.note_traceback, nil, lease)
    lease.destroyer = false
    if not done then errors.report(err, green.current()) end
  end
end

--- Destroys the item of the lease in a thread of its own.
local function doom(lease)
  local pool = lease.pool
  if lease.entry then
    if pool.options.destroy then
      lease.dying, lease.item, lease.destroyer = true, lease.entry.item, false
    end
    lease.entry, pool.live = false, pool.live - 1
  end
  if lease.item and not lease.destroyer then start_destroyer(lease) end
end

--- Nobody uses the lease any more: destroys its item if it still has one, and
--- gives the permit back, now or when the item is destroyed. If a step raises,
--- the lease stays owed, and this can be called again.
function finish(lease)
  local pool = lease.pool
  lease.ending = true
  doom(lease)
  if not lease.dying then release(lease) end
  if lease.owes then lease.owes, pool.owed = false, pool.owed - 1 end
end

local function ended_early(thread)
  local status = thread and thread:status()
  return status == "failed" or status == "killed"
end

--- Does what the thread of a moving lease could not do.
local function mend(lease)
  if lease.dying and (not lease.destroyer or ended_early(lease.destroyer)) then
    lease.destroyer = false
    if not lease.item then Dying.__close(lease.guard) end
  end
  if lease.owes or not lease.ending and ended_early(lease.owner) then
    finish(lease)
  elseif lease.dying then
    doom(lease)
  end
end

--- Permits that a resize to more could not make are made, too.
local function reclaim(pool)
  local cut_short = core.cut_short()
  while pool.again ~= pool do
    local ending = pool.again
    pool.again, ending.again = ending.again, false
    getmetatable(ending).__close(ending, "again")
  end
  local lease = pool.moving.next
  while lease ~= pool.moving do
    local following = lease.next
    mend(lease)
    lease = following.next and following or pool.moving.next
  end
  while pool.total < pool.max do
    pool.permits:put(true, 0)
    pool.total = pool.total + 1
  end
  pool.cut_short = cut_short
end

local function may_reclaim(pool)
  if pool.owed > 0 or pool.again ~= pool
    or core.cut_short() ~= pool.cut_short then
    reclaim(pool)
  end
end

--- A lease that is over at once, to destroy an idle item.
local function brief_lease(pool)
  local lease = new_lease(pool)
  append(pool.moving, lease)
  lease.ending, lease.owes, pool.owed = true, true, pool.owed + 1
  return lease
end

local function expired(pool, entry)
  local opts, now = pool.options, core.now()
  if opts.max_age and now - entry.born > opts.max_age then return true end
  return opts.max_idle and now - entry.since > opts.max_idle
    and pool.live > (opts.min or 0)
end

--- Destroying an item needs a free permit. Finalizers may have leased the last
--- idle item meanwhile.
local function prune(pool)
  while pool.idle_count > 0 and expired(pool, pool.idle.next) do
    local lease = brief_lease(pool)
    local got = pool.permits:get(0)
    if got then
      lease.held, pool.out = true, pool.out + 1
      lease.entry = pop_idle(pool, "next")
    end
    finish(lease)
    if not got then return end
  end
end

--------------------------------------------------------------- callbacks --

local function fail(err, traceback)
  local rare = core.rare()
  rare[TRACEBACK], rare.traced = traceback, err
  error(err, 0)
end

--- The error of a callback that has no caller: a thread fails with it.
local function report(err, name)
  local rare = core.rare()
  local ok, t = pcall(green.spawn, fail, err, rare and rare[TRACEBACK])
  if ok then
    t.name = "resource_pool " .. name
  else -- there are too many threads, or none any more: the state closes
    errors.report(err, green.current())
  end
end

local function within(deadline, f, ...)
  if not deadline or deadline == NOW then return f(...) end
  return green.with_timeout(deadline - core.now(), f, ...)
end

--- Is it fit to be leased? An interruption is the caller's, not the item's.
local function healthy(pool, entry, deadline)
  if expired(pool, entry) then return false end
  local is_fit = pool.options.check
  if not is_fit then return true end
  local ok, fit = xpcall(within, core.note_traceback, deadline, is_fit,
    entry.item)
  if ok then return fit end
  if rawequal(fit, core.interrupted()) then error(fit, 0) end
  report(fit, "check")
  return false
end

local function was_reset(lease)
  local ok, fit = xpcall(shielded, core.note_traceback,
    lease.pool.options.reset, lease.entry.item)
  if not ok then report(fit, "reset") end
  return ok and fit ~= false
end

----------------------------------------------------------------- leasing --

--- Stands for the permit while an item is looked for or made.
local Search = {}

--- A handler needs one more level of C's stack than its block: where there is
--- none, this raises, before there is a permit to lose.
local DEEPER <const> = setmetatable({},
  {__close = core.lease_closing(function() end)})

Search.__close = core.lease_closing(function(self)
  local lease = self.lease
  if not lease or lease.ending then return end
  local pool = lease.pool
  lease.ending, lease.owes, pool.owed = true, true, pool.owed + 1
  finish(lease)
end)

--- The item of this permit is being destroyed: goes on with another permit
--- if nobody waits for one, else with this when it can be used again.
local function go_on(pool, search, deadline)
  local other, lease = brief_lease(pool), search.lease
  if pool.permits:get(0) then
    other.held, pool.out, search.lease = true, pool.out + 1, other
    other.ending, other.owes = false, false
    lease.ending, lease.owes = true, true -- as many are owed
    finish(lease)
    return true
  end
  finish(other)
  if not lease.dying then return true end
  lease.over = green.event()
  return lease.over:wait(deadline and deadline - core.now())
end

local function hand_out(pool, search)
  local lease = search.lease
  if pool.closed then return nil, "closed" end
  prune(pool)
  unlink(lease)
  search.lease = false
  return lease, lease.entry.item
end

local function create(pool, search, deadline)
  local entry = {item = false, born = 0, since = false, prev = false,
    next = false}
  local item, err = within(deadline, pool.options.create)
  if not item then
    return nil, err == nil and "create returned no item" or err
  end
  entry.item = item
  search.lease.entry, pool.live = entry, pool.live + 1
  entry.born = core.now()
  return hand_out(pool, search)
end

local function find(pool, search, deadline)
  while not pool.closed do
    local entry = pop_idle(pool, "prev")
    if not entry then return create(pool, search, deadline) end
    search.lease.entry = entry
    if healthy(pool, entry, deadline) then return hand_out(pool, search) end
    doom(search.lease)
    local ok, err = go_on(pool, search, deadline)
    if not ok then return nil, err end
  end
  return nil, "closed"
end

local function deadline_of(s)
  if not s or s == math.huge then return nil end
  return s > 0 and core.now() + s or NOW
end

--- An item that is fit, as `local lease <close>, item = rp:lease()`.
--- Interruptible. May switch.
---@param s? number  seconds for all of it; with 0 or less it waits for nobody
---@return green.lease? lease  its close gives the item back
---@return any item  the item, or "timeout", "closed", the error of create
function Pool:lease(s)
  check.self(self, pool_mt, "lease")
  s = check.limit(s, 1, "lease")
  do local _ <close> = DEEPER end
  local deadline = deadline_of(s)
  may_reclaim(self)
  local lease = new_lease(self)
  local search <close> = setmetatable({pool = self, lease = lease,
    again = false}, Search)
  append(self.moving, lease)
  local ok, err = core.lease_get(self.permits, s)
  while err == "owed" do
    reclaim(self)
    ok, err = core.lease_get(self.permits, deadline and deadline - core.now())
  end
  if not ok then return nil, err end
  lease.held, self.out = true, self.out + 1
  return find(self, search, deadline)
end

--------------------------------------------------------------- giving back --

--- Nothing struck the block, and its own thread leaves it: neither a forced
--- kill nor a coroutine closed by others shows in the error.
local function undisturbed(lease)
  return core.interrupted() == nil
    and rawequal(green.current() or false, lease.owner)
end

local function give_back(lease, fit)
  local pool, entry = lease.pool, lease.entry
  if not fit or not entry or pool.closed or pool.total > pool.max then
    finish(lease)
    return
  end
  entry.since = core.now()
  push_idle(pool, entry)
  lease.entry = false
  finish(lease)
  prune(pool)
end

Return.__close = core.lease_closing(function(self)
  local lease = self.lease
  local pool = lease.pool
  if lease.ending then return end -- discarded while it was reset
  lease.ending, lease.owes, pool.owed = true, true, pool.owed + 1
  give_back(lease, self.fit)
end)

lease_mt.__close, lease_mt.__gc = core.lease_closing(function(lease, err)
  local pool = pool_of[lease]
  if not pool then check.self(lease, lease_mt, "__close") return end
  if lease.ending then return end
  local head, last = pool.moving, pool.moving.prev
  if not lease.next then
    lease.prev, lease.next, last.next, head.prev = last, head, lease, lease
  end
  lease.ending, lease.owes, pool.owed = true, true, pool.owed + 1
  local ok, fit = pcall(undisturbed, lease)
  fit = ok and fit and err == nil
  if not fit or not lease.back then return give_back(lease, fit) end
  local back <close> = lease.back -- there is room, as there was for pcall's
  lease.ending, lease.owes, pool.owed = false, false, pool.owed - 1
  back.fit = was_reset(lease)
end)

--- Has the item destroyed; closing the lease does nothing then. Never
--- switches.
function Lease:discard()
  check.self(self, lease_mt, "discard")
  lease_mt.__close(self, "discarded")
end

------------------------------------------------------------------ the pool --

--- Takes one permit away: a free one now, else the next that comes back. Then
--- release() drops it, as there are too many.
local function shrink(pool)
  local lease = brief_lease(pool)
  if pool.permits:get(0) then
    lease.held, pool.out = true, pool.out + 1
    if pool.idle_count > pool.total - pool.out then
      lease.entry = pop_idle(pool, "next")
    end
  end
  finish(lease)
end

--- Changes max. Leased items that are too many are destroyed when they come
--- back. Never switches.
---@param max integer
function Pool:resize(max)
  check.self(self, pool_mt, "resize")
  check.value(max, "integer", 1, "resize")
  check_max(max, self.options.min or 0, "bad argument #1 to 'resize'")
  self.max, self.cut_short = math.tointeger(max), false
  reclaim(self)
  for _ = self.max + 1, self.total do shrink(self) end
end

--- How many could be leased at once without waiting; negative after a resize
--- to fewer than are out. Never switches.
---@return integer
function Pool:free()
  check.self(self, pool_mt, "free")
  if self.closed then return 0 end
  return #self.permits - math.max(self.total - self.max, 0)
end

--- How many threads wait for an item. Never switches.
---@return integer
function Pool:waiting()
  check.self(self, pool_mt, "waiting")
  return (self.permits:waiting())
end

--- Refuses further leases; destroys idle items, and waits until the leased ones
--- have come back and are destroyed, too. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true?, "timeout"?
function Pool:close(s)
  check.self(self, pool_mt, "close")
  s = check.limit(s, 1, "close")
  if not s or s > 0 then core.checkpoint() end
  self.closed = true
  self.permits:close()
  reclaim(self)
  while self.idle_count > 0 do
    local lease = brief_lease(self)
    lease.held, self.out = true, self.out + 1
    lease.entry = pop_idle(self, "next")
    finish(lease)
  end
  if self.out == 0 then return true end
  self.gone = self.gone or green.event()
  return self.gone:wait(s)
end

--- A pool of what create() makes.
---@param opts table  see docs/meta/resource_pool.lua
---@return green.resource_pool
function green.resource_pool(opts)
  check_options(opts)
  local copy = {}
  for name, value in pairs(opts) do copy[name] = value end
  local max = math.tointeger(copy.max or 4)
  check_max(max, copy.min or 0, "bad option 'max' in 'resource_pool'")
  local pool = setmetatable({options = copy, max = max, total = max, out = 0,
    live = 0, idle = new_list(), idle_count = 0, moving = new_list(),
    owed = 0, cut_short = core.cut_short(), gone = false,
    permits = core.queue(), closed = false, again = false}, pool_mt)
  pool.again = pool
  for _ = 1, max do pool.permits:put(true, 0) end
  return pool
end
