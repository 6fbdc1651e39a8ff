---@meta
-- Flags, conditions, semaphores, locks and waitgroups: threads that wait for
-- each other. All serve their waiters first come, first served, and all may
-- stand in green.select, where a lock and a semaphore are acquired and the
-- others waited for. set, clear, signal, broadcast, release, add and done
-- never switch and may be called in finalizers.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- A flag, set or clear. To send one value once, use an event.
---@class green.flag
local Flag = {}

--- Never switches. Raises when set is neither boolean nor nil.
---@param set? boolean  false
---@return green.flag
function green.flag(set) end

--- Waits until the flag is set; returns at once while it is. A thread that
--- waited when it was set returns true even if it was cleared again before the
--- thread ran. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.flag, s?: number): nil, "timeout"
function Flag:wait(s) end

--- Sets the flag and wakes all waiters. Never switches.
function Flag:set() end

--- Clears the flag. Never switches.
function Flag:clear() end

--- Never switches.
---@return boolean
function Flag:is_set() end

--- A condition variable: a signal wakes waiters and is not remembered. It needs
--- no lock: between two calls that may switch nothing else runs, so `while not
--- ready() do c:wait() end` misses nothing.
---@class green.condition
local Condition = {}

--- Never switches.
---@return green.condition
function green.condition() end

--- Waits for a signal or a broadcast that comes after it began. Interruptible.
--- May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.condition, s?: number): nil, "timeout"
function Condition:wait(s) end

--- Wakes the first waiter; without one nothing happens. If that thread ends
--- before it runs, the next waiter is woken instead. Never switches.
function Condition:signal() end

--- Wakes all threads that wait now. Never switches.
function Condition:broadcast() end

--- A fixed number of permits.
---@class green.semaphore
local Semaphore = {}

--- The object that acquire() returns, one for each semaphore and lock: `local _
--- <close> = lock:acquire()` releases at the end of the block, also after an
--- error, a kill or a forced kill.
---@class green.guard

--- Never switches. Raises unless n is 0 or more, and max at least 1 and n.
---@param n integer     permits that are free
---@param max? integer  most permits there may be
---@return green.semaphore
function green.semaphore(n, max) end

--- Takes a permit. A thread that comes later never overtakes one that waits,
--- even with a limit of 0. The guard gives one permit back each time it is
--- closed, so do not also release by hand. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return green.guard
---@overload fun(self: green.semaphore, s?: number): nil, "timeout"
function Semaphore:acquire(s) end

--- Gives a permit: to the first waiter, if there is one. Any thread may. Never
--- switches. Raises when max permits are free already.
function Semaphore:release() end

--- How many permits are free; 0 while a thread waits. Never switches.
---@return integer
function Semaphore:count() end

--- Owned by one green thread at a time. If a thread ends while it owns a lock,
--- exactly one other gets an error: the first waiter, else the next to acquire
--- it. The error names the thread that has ended; then the lock is free again,
--- and goes to the next waiter. An unreachable lock is collected, owned or not.
---@class green.lock
local Lock = {}

--- Never switches. Raises when reentrant is neither boolean nor nil.
---@param reentrant? boolean  its owner may acquire it again; false
---@return green.lock
function green.lock(reentrant) end

--- Makes the calling thread the owner. A thread that comes later never
--- overtakes one that waits. A reentrant lock counts: its owner releases it as
--- often as it was acquired. Closing the guard releases once, and does nothing
--- if the program has released the lock before, or if another thread closes it.
--- Interruptible. May switch. Raises, with any limit, when the caller owns the
--- lock and it is not reentrant, when its owner ended while it owned it, and
--- outside green threads. A finalizer acquires it for the thread that it
--- happens to run in.
---@param s? number  time limit in seconds
---@return green.guard
---@overload fun(self: green.lock, s?: number): nil, "timeout"
function Lock:acquire(s) end

--- Releases it; the first waiter owns it next. Never switches. Raises, naming
--- both threads, when the caller is not the owner.
function Lock:release() end

--- A thread to which the lock was just handed owns it before it runs. Never
--- switches.
---@return green.thread?
function Lock:owner() end

--- A count of unfinished jobs.
---@class green.waitgroup
local Waitgroup = {}

--- Never switches. Raises when n is negative.
---@param n? integer  0
---@return green.waitgroup
function green.waitgroup(n) end

--- Waits until the count is 0. A thread that waited when it became 0 returns
--- true even if add() came before the thread ran. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.waitgroup, s?: number): nil, "timeout"
function Waitgroup:wait(s) end

--- Adds n jobs; a negative n removes some. Never switches. Raises, and changes
--- nothing, when the count would be negative.
---@param n? integer  1
function Waitgroup:add(n) end

--- Ends one job. Never switches. Raises when the count is 0.
function Waitgroup:done() end

--- Never switches.
---@return integer
function Waitgroup:count() end
