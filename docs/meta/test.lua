---@meta
-- Tests: virtual time, any order of the threads, and nothing left behind.
-- With `local test = green.test` a body runs by test.run(f) in a green thread
-- of its own, with a clock that takes no real time, in an order of the ready
-- threads that a seed decides, under a limit in real time; what it leaves
-- behind is an error. With `local it = green.test.it(it)` all bodies of a
-- busted spec run so. The module is loaded on first use; `require "green.test"`
-- gives the same table.
--
-- The clock. It stands still while any thread can run. When none can, it jumps
-- just past the next deadline: sleeps, limits, timeouts, tickers, spawn_after
-- and the grace of a kill all go by it, and green.now() shows it. While a
-- thread waits for something outside (a descriptor, a look-up), real time comes
-- first: the jump happens only when nothing became ready for `quiet` seconds,
-- so that what comes over loopback within the process is there before any limit
-- strikes. A peer in another process may need a longer quiet time, or the real
-- clock. A thread that computes holds the clock. os.time and os.clock know
-- nothing of it.
--
-- The order. Of the first 16 ready threads any may be the next to run, as the
-- seed decides; that also chooses the stack policy (keep_stacks 0 for even
-- seeds) and starts math.random. Where an object promises first come,
-- first served (the turns of a lock, the thread that is woken for an item of a
-- queue), it keeps its promise: only which ready thread runs first is open. Of
-- several getters that have been woken, the one that runs first takes the first
-- item. Bodies that test the order of the ready queue itself ask for order =
-- "fifo".
--
-- Environment. LUAGREEN_SEED=n runs every body under that seed. Otherwise
-- LUAGREEN_SEEDS=n runs each of test.it's bodies under the seeds 1 to n.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green
---@field test green.test  loaded on first use
local green = {}

---@class green.test
---@field seed integer  of the test that runs; 0: none does
local test = {}

---@class green.test.options
---@field seed? integer    above 0; by default LUAGREEN_SEED, else any
---@field seeds? integer   the most of LUAGREEN_SEEDS to try, for a large body
---@field order? "seed" | "fifo"  "fifo": the ready queue as it is; "seed"
---@field clock? boolean   false: the real clock; true
---@field quiet? number    seconds of real time in which nothing comes from
--- outside before the clock jumps; 0.005, and 100 times that while a look-up
--- is under way
---@field limit? number    seconds of real time that the body may take; 10

--- Runs f() as a test and returns its results. It fails with the error of f;
--- the seed is appended to a string, with a traceback, and to the message of a
--- failed assertion of busted's, while pending() passes as it is.
---
--- It fails with a list of its threads, with the place and the wait of each,
--- when f has not ended at the limit, or when nothing can go on (a deadlock).
--- It ends a thread that computes without blocking only if that is f's own.
---
--- It fails with a list of leftovers when f has returned: new threads that live
--- on, timers, descriptors that a collection does not close. Events that take
--- no time may still happen first. And it fails with the errors of threads that
--- nobody waited for.
---
--- It kills threads that were left, and always restores the clock, the order,
--- green.config and green.on_error. A test may run within another, but not
--- beside it. The thread that calls run lives on while f runs:
--- green.wait_others and green.shutdown in f count it. May switch.
--- Interruptible. Raises for unknown options, and in a host that drives the hub
--- itself unless clock is false.
---@param f function
---@param opts? green.test.options
---@return any ...
function test.run(f, opts) end

--- A function like busted's `it`, whose bodies run by test.run. busted defines
--- `it` for spec files only, hence the argument. Never switches.
---@param it function  busted's
---@param opts? green.test.options  for all bodies
---@return fun(name: string, body: function)
function test.it(it, opts) end

--- Lets other threads run until condition() is true; sleeps now and then, so
--- that a frozen clock goes on. May switch. Interruptible. Raises "never came
--- true: <what>" after 20 s.
---@param condition fun(): any
---@param what? string
function test.wait_until(condition, what) end

--- Lets other threads run until each of these is blocked. May switch.
--- Interruptible. Raises like wait_until.
---@param ... green.thread
---@return green.thread ...  the same
function test.blocked(...) end

--- Notes all threads, timers and descriptors. Returns a function that lists new
--- ones, one line for each; it may switch. For tests that do not run by
--- test.run.
---@return fun(): string[]
function test.leftovers() end

--- Freezes the clock, until test.thaw(). Never switches. Raises in a host that
--- drives the hub itself.
---@param quiet? number  seconds, as in the options
function test.freeze(quiet) end

--- Thaws the clock, which goes on from where it is. Never switches.
function test.thaw() end

--- From now on the seed chooses the next thread to run from the first 16 ready
--- ones. Never switches.
---@param seed? integer  nil or 0: the first, as ever
function test.shuffle(seed) end

return test
