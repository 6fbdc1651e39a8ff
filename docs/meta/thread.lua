---@meta
-- Threads: create, wait, end, inspect.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- A green thread. Closing the handle (`local _ <close> = t`) kills the thread
--- and joins it, and never raises; it may switch.
---@class green.thread
---@field id integer   never used again
---@field name string  may be set; "file:line" of the function by default, or
--- of the one that it has called last, as `return f()`. Its first 1,000 bytes
--- are kept
local Thread = {}

--- Makes a green thread that runs f(...) from the caller's next switch on, in
--- order of spawning. An error that nobody waits for goes to green.on_error.
--- Never switches. Raises when f is not callable or the state closes.
---@param f function  or any callable
---@param ... any
---@return green.thread
function green.spawn(f, ...) end

--- spawn without a handle, and cheaper. Never switches. Raises as spawn.
---@param f function
---@param ... any
function green.spawn_n(f, ...) end

--- spawn, but the thread starts after s seconds; cancel() prevents that. Never
--- switches. Raises as spawn, and when s is not a number.
---@param s number  seconds
---@param f function
---@param ... any
---@return green.thread
function green.spawn_after(s, f, ...) end

--- spawn_after, cancelled when the calling thread ends first. Never switches.
--- Raises as spawn_after, and outside green threads.
---@param s number  seconds
---@param f function
---@param ... any
---@return green.thread
function green.spawn_after_local(s, f, ...) end

--- The calling thread, main too; nil on a host's own stack, and in a state that
--- has been closed. Never switches.
---@return green.thread?
function green.current() end

--- The live thread with that id, or nil. Never switches.
---@param id integer
---@return green.thread?
function green.find_thread(id) end

--- The live threads, by id. Never switches.
---@return green.thread[]
function green.threads() end

--- Blocks for s seconds; nil, 0 or less gives every other ready thread a turn.
--- Interruptible. May switch.
---@param s? number  seconds
function green.sleep(s) end

--- Waits until the caller is the only live thread. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(s?: number): nil, "timeout"
function green.wait_others(s) end

--- Kills all other threads and waits for their end. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(s?: number): nil, "timeout"
function green.shutdown(s) end

--- Waits for the thread's end and returns what f returned. Raises the very
--- error of f, or the killed object; and when a thread waits for itself.
--- Interruptible. May switch.
---@param s? number  time limit in seconds; the thread goes on after it
---@return any ...
---@overload fun(self: green.thread, s?: number): nil, "timeout"
function Thread:wait(s) end

--- wait in pcall's shape: true and the results, or false and the error. Raises
--- when a thread joins itself. Interruptible. May switch.
---@param s? number  time limit in seconds; the thread goes on after it
---@return boolean ok
---@return any ...
---@overload fun(self: green.thread, s?: number): nil, "timeout"
function Thread:join(s) end

--- Kills it: its interruptible calls raise the killed object from now on. A
--- thread that swallows it for config.grace is ended by force, past every
--- pcall. If a C function is in the way, as table.sort or that of a message
--- handler, that takes half a grace longer, and skips its <close> handlers if
--- it computes there. Each time that it has computed for 0.1 s without a break
--- it gives the others a turn, so the memory model does not hold for it then.
--- Nothing ends a finalizer, or a single call of a C function, such as
--- string.rep or string.find. The first reason counts. Never switches, on
--- itself too.
---@param reason? any
---@return boolean alive  true if it had not ended
function Thread:kill(reason) end

--- Raises err once, in its next or present interruptible call; one that has
--- not started never runs and fails with err. False if it has ended or another
--- throw is still to come. Never switches. Raises without a value.
---@param err any
---@return boolean
function Thread:throw(err) end

--- Prevents a thread from starting: true if it will never run, false if it has
--- started. Never switches.
---@return boolean
function Thread:cancel() end

--- Runs f(t, ...) in a new green thread when it ends, in order of linking, or
--- soon if it has ended. Its error then does not go to green.on_error. Never
--- switches. Raises when f is not callable.
---@param f function
---@param ... any
function Thread:link(f, ...) end

--- Removes the first link with that f. Never switches.
---@param f function
---@return boolean  true if there was one
function Thread:unlink(f) end

--- Never switches.
---@return "new"|"ready"|"running"|"blocked"|"done"|"failed"|"killed"
function Thread:status() end

--- Is it "done", "failed" or "killed"? Never switches.
---@return boolean
function Thread:has_ended() end

--- The call that it is blocked in, or nil. Never switches.
---@return green.blocked?
function Thread:blocked() end

--- Its Lua stack, now or at the place of its error, with the place that spawned
--- it and the cause of the error. Never switches.
---@return string
function Thread:traceback() end

---@class green.blocked
---@field what string       the call: "sleep", "queue:get", ...
---@field on? any           the object it waits for
--- nil where a script of a sandbox asks
---@field since number      seconds, as green.now()
---@field deadline? number  seconds, as green.now(); nil: no limit
---@field where? string     "file:line" of the call
