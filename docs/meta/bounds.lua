---@meta
-- Bounds: what a thread that computes may cost the others.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.options
---@field preempt? number|false  seconds of CPU time, from 0.0001, after which a
--- thread that computes goes to the end of the queue of ready threads. Holds
--- for the threads of this state; the kernel rounds it up to its own ticks, 1
--- to 10 ms. It makes no wake-ups while nobody computes. It needs a signal,
--- SIGURG unless the host chose another; raises where there is none. Off by
--- default: false
---@field watchdog? number|false  seconds, from 0.0001: a thread that runs so
--- long without letting others run is reported, see green.on_blocked. An OS
--- thread and a signal serve it; neither wakes while nothing runs. Raises where
--- preempt does; false

---@class green.stats
---@field preempted integer  turns that threads were made to give, so far
---@field hooks_in_the_way integer  ticks that did nothing, as the thread had a
--- hook of the program's own (debug.sethook)

---@class green.thread.stats
---@field preempted integer  how often it was made to give the others a turn;
--- counted always

--- Runs f(...) without preemption, in all coroutines that f resumes, too. f may
--- block, and then others run as always. Raises what f raises. Switches if f
--- does.
---@param f function
---@param ... any
---@return any ...
function green.atomic(f, ...) end

--- A thread that held up all others for longer than config.watchdog.
---@class green.overrun
---@field thread? green.thread  nil: it is gone by now
---@field seconds number  of real time, so far
---@field what "computing"|"in a C call"
---@field where? string  "file:line" of the program; nil where the call was over
--- before that could be seen
---@field traceback? string  of that place; otherwise where the thread is now

--- Sets the handler of the watchdog's reports. It runs in the thread itself,
--- wherever that is, and must neither block nor take long; a call that waited
--- in the system is told of afterwards, in a thread of its own. The default
--- writes a line for each place and minute to stderr, and one while a call of C
--- still holds all others up. Never switches.
---@param f? fun(info: green.overrun)
---@return fun(info: green.overrun) former
function green.on_blocked(f) end

return green
