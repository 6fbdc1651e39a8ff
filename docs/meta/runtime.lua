---@meta
-- The runtime: options and figures.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.options
---@field grace? number   seconds that clean-up may take; 5
---@field keep_stacks? integer  while fewer threads are blocked on C stacks of
--- their own, one that blocks may keep its stack, which is faster; 1024
---@field max_stacks? integer  of C stacks; beyond it blocking raises; 131072
---@field max_jobs? integer  OS threads for the jobs of C modules, such as a
--- query of SQLite; 16
---@field recycle? boolean  coroutines of ended threads are used again; true
---@field poll_switches? integer  switches between two polls; 256
---@field poll_ms? integer  milliseconds between two polls at most; 1
---@field budget? integer  calls in a row that need not wait before one gives
--- the others a turn; 64. After a thread that took more than 10 ms for them, as
--- it computes between them, fewer: about as many as take 10 ms
---@field max_line? integer  bytes of the longest line that `receive` takes from
--- a connection; for those that are made from now on. 0: no bound; 64 MB
---@field max_client_line? integer  the same for connections that are accepted;
--- 1 MB
---@field resolver? false|fun(name: string, family?: string): table?, any, any
--- asked instead of the system by each call that takes a name, as green.dns.use
--- has it; false
---@field dns_cache? integer  answers of look-ups that are kept for those to
--- come; 0: none; 1024. On a host's loop these three are the host's to begin
--- with, and 0
---@field dns_ttl? number  seconds that they are kept; 5
---@field dns_negative_ttl? number  seconds that it is kept that a name is not
--- known; 1
---@field sigint? boolean  Ctrl-C is raised in main, once; set before main first
--- blocks, and only on a loop of the library's own; true

--- Sets the options that are given, all or none. Never switches. Raises for an
--- unknown option or a bad value.
---@param options? green.options
---@return green.options  the values in force
function green.config(options) end

---@class green.stats
---@field switches integer     so far
---@field polls integer        of the system, so far
---@field sleeps integer       polls that waited, so far
---@field spawned integer      so far
---@field threads integer      alive
---@field ready integer        that could run
---@field kept integer         blocked on a C stack of their own
---@field stacks integer       C stacks that exist
---@field idle_stacks integer  those not in use
---@field timers integer       armed
---@field external integer     things outside that can wake a thread
---@field states integer       Lua states on the hub
---@field memory integer       bytes that the library has from the system, for
--- all states of the process: not Lua's, not libuv's, not C stacks
---@field heap integer         bytes of this Lua state, as Lua counts them; in a
--- finalizer, as they were last known
---@field heap_limit integer   at most; 0: no limit (set from C)
---@field buffered integer     bytes that sockets received and nobody read yet
---@field guard string         how stacks are guarded
---@field switch string        how stacks are switched

--- Figures of the runtime. Never switches.
---@return green.stats
function green.stats() end
