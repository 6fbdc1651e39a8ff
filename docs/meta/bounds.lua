---@meta
-- Bounds: what a thread that computes may cost the others.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.options
---@field preempt? number|false  seconds of CPU time, from 0.0001, after which a
--- thread that computes goes to the end of the queue of ready threads. Holds
--- for the hub; the kernel rounds it up to its own ticks, 1 to 10 ms. It makes
--- no wake-ups while nobody computes. It needs a signal, SIGURG unless the host
--- chose another; raises where there is none. Off by default: false

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

return green
