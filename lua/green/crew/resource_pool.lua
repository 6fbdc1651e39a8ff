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
---
--- The end of a block comes perhaps without memory, even for a call. So its
--- first step is a note that makes none, `lease.left, pool.left = pool.left,
--- lease`: the leases whose blocks were left are a list, from pool.left to the
--- pool itself. The next caller of lease() finishes what could not be finished.
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
local error, math, pairs, pcall, rawequal, setmetatable, xpcall =
  error, math, pairs, pcall, rawequal, setmetatable, xpcall

--- Seconds that destroy and reset may take, whatever strikes meanwhile.
local CLEAN_UP <const> = 5
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
  end
end

local Pool, Lease = {}, {}
local pool_mt = core.metatable "green.resource_pool"
pool_mt.__index = Pool
local lease_mt = core.metatable "green.lease"
lease_mt.__index = Lease

------------------------------------------------------------------ lists --

--- Idle items and leases whose items are being destroyed stand in lists that
--- are linked through themselves: they enter without memory, and leave from
--- anywhere at once.
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

--- The leases whose items are out, and their pools: a test that calls nothing,
--- as the end of a block begins with it, perhaps without memory.
local pool_of = setmetatable({}, {__mode = "k"})

--- A lease, made before its permit is got: with memory short, nothing may fail
--- between that and the note that it is held, so no call comes between. All its
--- fields are made now for the same reason.
local function new_lease(pool)
  local lease = setmetatable({pool = pool, owner = green.current() or false,
    held = false, entry = false, guard = false, dying = false, over = false,
    destroyer = false, prev = false, next = false, back = false, left = false},
    lease_mt)
  if pool.options.reset then
    lease.back = setmetatable({lease = lease, fit = false}, Return)
  end
  pool_of[lease] = pool
  if pool.options.destroy then
    lease.guard = setmetatable({lease = lease}, Dying)
  end
  return lease
end

--- With memory short put may raise: nothing has changed then.
local function release(pool)
  if pool.total > pool.max then
    pool.total = pool.total - 1
  elseif not pool.closed then
    pool.permits:put(true, 0)
  end
  pool.out = pool.out - 1
  if pool.out == 0 and pool.gone then
    pool.gone:send()
    pool.gone = false
  end
end

--- The permit goes back now, or when the item has been destroyed.
local function let_go(lease)
  if not lease.dying then release(lease.pool) end
  lease.held = false
  pool_of[lease] = nil
end

-------------------------------------------------------------- destroying --

function Dying:__close()
  local lease = self.lease
  if not lease.dying then return end
  lease.dying = false -- first: finalizers that run in release() may come here
  local ok, err = true, nil
  if not lease.held then ok, err = pcall(release, lease.pool) end
  if not ok then
    lease.dying, lease.pool.lost = true, true
    error(err, 0) -- reclaim() tries again
  end
  unlink(lease)
  if lease.over then lease.over:send() end
  lease.over = false
end

local function bounded(f, item)
  local _ <close> = core.timeout(CLEAN_UP)
  return f(item)
end

--- Where no green thread runs nothing strikes, and f cannot block.
local function shielded(f, item)
  if not green.current() then return f(item) end
  return green.shield(CLEAN_UP, bounded, f, item)
end

--- Calls destroy, then gives the permit back. The thread fails with an error of
--- destroy.
local function destroy(_, lease, item)
  local _ <close> = lease.guard
  shielded(lease.pool.options.destroy, item)
end

--- Between the end of the link and the guard, which was made with the lease,
--- nothing allocates: with memory short, one of them gives the permit back.
local function destroyer(lease, item)
  green.current():unlink(destroy)
  local _ <close> = lease.guard
  shielded(lease.pool.options.destroy, item)
end

--- Destroys the item of the lease in a thread of its own. Links run also for
--- a thread that was killed before it ran, and while the program ends.
local function doom(lease)
  local pool, item = lease.pool, lease.entry.item
  lease.entry = false
  pool.live = pool.live - 1
  if not pool.options.destroy then return end
  lease.dying = true
  append(pool.doomed, lease)
  local ok, t = pcall(green.spawn, destroyer, lease, item)
  if ok then
    lease.destroyer = t
    t.name = "resource_pool destroy"
    t:link(destroy, lease, item)
  else -- there are too many threads, or none any more: the state closes
    local done, err = xpcall(destroy, core.note_traceback, nil, lease, item)
    if not done then errors.report(err, green.current()) end
  end
end

--- The block of a lease was left, and then there was no memory to end it: its
--- item is destroyed. Raises if there is still none. Where another one has been
--- left meanwhile, that is before it in the list, and it stays there.
local function finish(pool, lease)
  if lease.held then
    if lease.entry then doom(lease) end
    let_go(lease)
  end
  if pool.left == lease then pool.left, lease.left = lease.left, false end
end

--- With no memory at all neither the thread nor its link runs: the permits of
--- such threads come back when somebody asks for one.
local function reclaim(pool)
  while pool.left ~= pool do finish(pool, pool.left) end
  pool.lost, pool.starved = false, core.starved()
  local lease = pool.doomed.next
  while lease ~= pool.doomed do
    local following = lease.next
    local status = lease.destroyer and lease.destroyer:status()
    if status == "failed" or status == "killed" then
      Dying.__close(lease.guard)
    end
    lease = following.next and following or pool.doomed.next
  end
end

--- There may be such permits only if a thread has ended without memory.
local function may_reclaim(pool)
  if pool.left ~= pool or pool.lost or core.starved() ~= pool.starved then
    reclaim(pool)
  end
end

--- Takes the oldest idle item with a permit that was just got for the lease.
--- Finalizers may have leased the last one meanwhile.
local function doom_oldest(pool, lease)
  lease.entry = pop_idle(pool, "next")
  finish(pool, lease)
end

local function expired(pool, entry)
  local opts, now = pool.options, core.now()
  if opts.max_age and now - entry.born > opts.max_age then return true end
  return opts.max_idle and now - entry.since > opts.max_idle
    and pool.live > (opts.min or 0)
end

--- Destroying an item needs a free permit.
local function prune(pool)
  while pool.idle_count > 0 and expired(pool, pool.idle.next) do
    local lease = new_lease(pool)
    if not pool.permits:get(0) then return end
    lease.held, pool.out = true, pool.out + 1
    lease.left, pool.left = pool.left, lease
    doom_oldest(pool, lease)
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

function Search:__close()
  local lease = self.lease
  if not lease or not lease.held then return end
  local pool = lease.pool
  if not lease.left then
    lease.left, pool.left = pool.left, lease
  end
  finish(pool, lease)
end

--- The item of this permit is being destroyed: goes on with another permit
--- if nobody waits for one, else with this when it can be used again.
local function go_on(pool, search, deadline)
  local other = new_lease(pool)
  local lease = search.lease
  if pool.permits:get(0) then
    other.held, pool.out, search.lease = true, pool.out + 1, other
    lease.left, pool.left = pool.left, lease
    finish(pool, lease)
    return true
  end
  if not lease.dying then return true end
  lease.over = green.event()
  return lease.over:wait(deadline and deadline - core.now())
end

local function hand_out(pool, search)
  local lease = search.lease
  if pool.closed then return nil, "closed" end
  prune(pool)
  search.lease = false
  return lease, lease.entry.item
end

local function create(pool, search, deadline)
  local item, err = within(deadline, pool.options.create)
  if not item then
    return nil, err == nil and "create returned no item" or err
  end
  search.lease.entry = {item = item, born = core.now(), since = false,
    prev = false, next = false}
  pool.live = pool.live + 1
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
  local deadline = deadline_of(s)
  may_reclaim(self)
  local lease = new_lease(self)
  local search <close> = setmetatable({lease = lease}, Search)
  local ok, err = core.lease_get(self.permits, s)
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
  if not lease.held then return end -- discarded while it was reset
  if not fit or pool.closed or pool.total > pool.max then
    if entry then doom(lease) end
    let_go(lease)
    return
  end
  lease.entry, entry.since = false, core.now()
  push_idle(pool, entry)
  let_go(lease)
  prune(pool)
end

function Return:__close()
  local lease = self.lease
  local pool = lease.pool
  if lease.held and not lease.left then
    lease.left, pool.left = pool.left, lease
  end
  give_back(lease, self.fit)
  if lease.left then finish(pool, lease) end
end

function lease_mt.__close(lease, err)
  local pool = pool_of[lease]
  if not pool then check.self(lease, lease_mt, "__close") return end
  if not lease.held then return end
  if lease.back then
    local back <close> = lease.back
    local ok, fit = pcall(undisturbed, lease)
    if ok and fit and err == nil then back.fit = was_reset(lease) end
    return
  end
  if not lease.left then
    lease.left, pool.left = pool.left, lease
  end
  local ok, fit = pcall(undisturbed, lease)
  give_back(lease, ok and fit and err == nil)
  if lease.left then finish(pool, lease) end
end

--- Has the item destroyed; closing the lease does nothing then. Never
--- switches.
function Lease:discard()
  check.self(self, lease_mt, "discard")
  give_back(self, false)
end

------------------------------------------------------------------ the pool --

--- Takes one permit away: a free one now, else the next that comes back.
local function shrink(pool)
  local lease = new_lease(pool)
  if not pool.permits:get(0) then return end
  if pool.idle_count < pool.total - pool.out then
    pool.total = pool.total - 1
  else
    lease.held, pool.out = true, pool.out + 1
    lease.left, pool.left = pool.left, lease
    doom_oldest(pool, lease)
  end
end

--- Changes max. Leased items that are too many are destroyed when they come
--- back. Never switches.
---@param max integer
function Pool:resize(max)
  check.self(self, pool_mt, "resize")
  check.value(max, "integer", 1, "resize")
  check_max(max, self.options.min or 0, "bad argument #1 to 'resize'")
  self.max = math.tointeger(max)
  for _ = self.total + 1, self.max do
    self.total = self.total + 1
    self.permits:put(true, 0)
  end
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
    local lease = new_lease(self)
    lease.held, self.out = true, self.out + 1
    doom_oldest(self, lease)
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
    live = 0, idle = new_list(), idle_count = 0, doomed = new_list(),
    left = false, lost = false, starved = core.starved(), gone = false,
    permits = core.queue(), closed = false}, pool_mt)
  pool.left = pool
  for _ = 1, max do pool.permits:put(true, 0) end
  return pool
end
