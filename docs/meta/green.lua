---@meta green
-- The library: what holds for all of it.
--
-- A limit s is in seconds: nil or math.huge is none; 0 or less tries once and
-- never switches (sleep alone takes a turn then). NaN raises.
--
-- Calls return outcomes of the outside world: nil and "timeout", "closed" or a
-- text of the system. Misuse raises a string; others' errors are raised as they
-- were.
--
-- Interruptions (timeouts, kills, throws) are raised by calls marked so, on
-- entry too, until they are over; never by calls with a limit of 0 or less.
--
-- Memory model: between two calls that may switch no other green thread runs,
-- unless config.preempt is on and the thread overran it outside green.atomic.
-- Never switch: spawn*, kill, throw, cancel, link, unlink, an event's send and
-- send_error, a flag's set and clear, signal, broadcast, release, a waitgroup's
-- add and done, close of queues and sockets, all marked so, all with s <= 0.
-- (spawn of pools, piles and bounded groups waits for room.)
--
-- SPDX-License-Identifier: MIT

---@class green
---@field _VERSION string
local green = {}

---@alias green.kind
---| "thread"
---| "timeout"
---| "killed"
---| "deadlock"
---| "child_failed"
---| "pool"
---| "pile"
---| "group"
---| "resource_pool"
---| "lease"
---| "locals"
---| "dag"
---| "dag_results"
---| "dag_error"
---| "event"
---| "queue"
---| "port"
---| "flag"
---| "condition"
---| "semaphore"
---| "lock"
---| "waitgroup"
---| "guard"
---| "selector"
---| "ticker"
---| "span"
---| "server"
---| "StopServe"
---| "tcp{client}"
---| "tcp{server}"
---| "unixstream{client}"
---| "unixstream{server}"
---| "udp{unconnected}"
---| "udp{connected}"
---| "unixdgram{unconnected}"
---| "unixdgram{connected}"

--- The kind of an object of the library, or nil. Never switches.
---@param x any
---@return green.kind?
function green.type(x) end

return green
