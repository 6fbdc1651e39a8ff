---@meta
-- Pools and piles: a bounded number of green threads, and their results.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- At most n threads at once. The end of its block waits for them; if an error
--- or an interruption ends the block, or is pending at its end, which then
--- raises it, it kills and joins them. select can wait for a pool, and
--- green.serve takes one.
---@class green.pool
local Pool = {}

--- Never switches. Raises when n is no integer of at least 1, or math.huge.
---@param n number  most threads at once
---@return green.pool
function green.pool(n) end

--- Spawns f(...) as soon as there is room. A worker of a full pool that spawns
--- into it lends its place to the new thread, and gets one back. Errors go
--- where those of green.spawn go. May switch. Interruptible. Raises as
--- green.spawn.
---@param f function
---@param ... any
---@return green.thread
function Pool:spawn(f, ...) end

--- spawn without a handle. May switch. Interruptible. Raises as spawn.
---@param f function
---@param ... any
function Pool:spawn_n(f, ...) end

--- Calls f with each item of a list, or with the values of each step of an
--- iterator, as in `pool:map(f, pairs(t))`. Returns the first results, in order
--- of the input. The first failure kills and joins the other workers and is
--- raised. May switch. Interruptible. Raises the error of f or of the iterator.
---@param f function
---@param ... any  a list, or what stands after `in` in a for loop
---@return table results  with their number as n
function Pool:map(f, ...) end

--- `for i, ok, ... in pool:imap(f, items) do`: the results in order of the
--- input, in pcall's shape. The loop's thread reads the input, and never
--- further ahead than the size of the pool. Leaving the loop kills and joins
--- the workers. The iterator is interruptible and may switch; it raises the
--- input's errors.
---@param f function
---@param ... any  a list, or what stands after `in` in a for loop
---@return fun(): integer?, boolean?, any iterator
---@return any state
---@return nil
---@return any closing
function Pool:imap(f, ...) end

--- imap with the results as they arrive; i is still the position of the input.
--- The iterator is interruptible and may switch.
---@param f function
---@param ... any  a list, or what stands after `in` in a for loop
---@return fun(): integer?, boolean?, any iterator
---@return any state
---@return nil
---@return any closing
function Pool:imap_unordered(f, ...) end

--- Waits until no thread of the pool lives; work that is added meanwhile
--- counts. May switch. Interruptible. Raises in a worker of the pool.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.pool, s?: number): nil, "timeout"
function Pool:wait(s) end

--- Kills the threads that are in it now. The pool stays usable. Never switches.
---@param reason? any
function Pool:kill(reason) end

--- Sets how many may run. Running threads go on; waiting spawners get the room
--- that this makes. Never switches. Raises when n is less than 1.
---@param n number
function Pool:resize(n) end

--- How many threads run; one that has lent its place does not count. Never
--- switches.
---@return integer
function Pool:running() end

--- How many more may run; negative after a resize to fewer. Never switches.
---@return number
function Pool:free() end

--- How many threads wait to spawn. Never switches.
---@return integer
function Pool:waiting() end

--- Threads whose results are read in the order of their spawning. The end of
--- its block kills and joins threads that are left. Failures that nobody has
--- read then go to green.on_error.
---@class green.pile
local Pile = {}

--- Never switches. Raises for what is neither a pool nor its size.
---@param pool number|green.pool  a size: a pool of its own
---@return green.pile
function green.pile(pool) end

--- Spawns f(...) as soon as the pool has room. May switch. Interruptible.
--- Raises as Pool:spawn.
---@param f function
---@param ... any
---@return green.thread
function Pile:spawn(f, ...) end

--- `for i, ok, ... in pile:results() do`: the results of threads that were not
--- read yet, in pcall's shape. An interrupted step loses nothing: the next one
--- takes it again. The iterator is interruptible and may switch.
---@return fun(pile: green.pile): integer?, boolean?, any iterator
---@return green.pile
function Pile:results() end
