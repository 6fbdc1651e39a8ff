---@meta
-- Watching a program: dumps, cycles, figures and limits.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- Writes the state of the program at this moment: a line with version, uptime
--- and figures; for each live thread its id, name and status, its wait with
--- object, start, limit and place, its nearest timeout, its traceback, its
--- spawner and the place of its spawn; then the cycles of threads that wait for
--- each other. Control characters in names are escaped. Never switches, unless
--- the object's write does. Raises unless file is nil, a name, a file or an
--- object with write.
---@param file? string|table|userdata  a name: added to the end of that file;
--- an object: given to its write in one call; stderr by default
---@return true
---@overload fun(file: any): nil, string
function green.dump(file) end

---@class green.options
---@field max_threads? integer  of live green threads, main and those not yet
--- started among them; beyond it spawning raises, but reports of errors and
--- links still run; 0 or math.huge: any number; 0
---@field max_timers? integer  of timeouts in force; one more raises. What
--- sleeps or waits, and what spawn_after will start, is a thread instead. 0 or
--- math.huge: any number; 0
---@field max_descriptors? integer  of open sockets, and of pipes and files
--- where io is patched; one more is nil, "too many open files", as of the
--- system. 0: any number; 0
---@field max_items? integer  of values in all queues that are made from now on;
--- a put beyond it raises, where it would not wait. 0: any number; 0
---@field dump_signal? string|false  a signal that makes the program write a
--- dump to stderr, such as "USR1" or "SIGUSR1": one of USR1, USR2, HUP, QUIT,
--- TERM, ALRM, CONT, WINCH, URG, IO, PROF and VTALRM. If the loop does not
--- come to it within a second, the code that computes is stopped for it; after
--- another one a line names the thread that is in a long call of C, and the
--- dump follows when the call is over. It makes no wake-ups and keeps no
--- program running; bin/luagreen sets it to "USR1" by itself; false

---@class green.stats
---@field uptime number  seconds since the library was opened
---@field idle number    seconds of them slept, nothing being ready; 0 on a
--- host's loop
---@field counts green.counts  what the state has now

---@class green.counts
---@field threads integer
---@field coroutines integer   all of Lua's, where green_lua_newstate() made the
--- state, else 0
---@field timers integer       timeouts in force
---@field descriptors integer  open sockets, and pipes and files where io is
--- patched
---@field items integer        values in queues that were made while the state,
--- or a sandbox, had a limit of them
---@field messages integer  bytes that were packed for ports and are not
--- received yet, where a host has set a limit of memory or messages

--- cycles: one text for each cycle of threads that wait for each other;
--- cycle is the first.
---@class green.deadlock
---@field cycles? string[]  "#2 fetch -> lock of #3 store -> join of #2 fetch"

return green
