---@meta
-- Sandboxes: scripts that nobody trusts.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green
local green = {}

---@class green.sandbox.options
---@field grants? string[]  what a script may reach beyond the language, green
--- threads and its own objects. Without a grant the thing is gone.
---   "output"     print, at a bounded rate
---   "coroutine"  the library coroutine
---   "io", "os"   these libraries, whole; without "os" a script has time,
---                clock, date and difftime. Without "io" a call in its
---                threads, whoever's, names no file: no Unix socket by its
---                path, and certificates, keys and CAs of TLS are given as PEM
---   "connect"    green.connect, udp, socketpair: to wherever this machine
---                may connect
---   "listen"     green.listen, serve, udp_server
---   "require"    require: every module, those in C too
---   "debug"      the library debug, which breaks every bound
---   "threads"    green.threads and find_thread for all threads
---@field limits? green.sandbox.limits
---@field globals? table<string, any>  more globals: the things that a program
--- hands to a script. A function among them has the program's powers
---@field print? fun(text: string)  where the lines of print go; stderr, as
--- reports are written. It runs in the thread that prints

---@class green.sandbox.limits
---@field threads? integer  that live in it at once, and links of theirs that
--- have not run yet. No limit
---@field timers? integer   timeouts in force: one more raises. No limit
---@field descriptors? integer  open sockets that its threads made, and files
--- and pipes where io is patched: one more is nil, "too many open files". No
--- limit
---@field items? integer    values in all queues that its threads made: one more
--- raises, in whatever thread. No limit
---@field coroutines? integer  that its threads made by coroutine.create and
--- wrap and that are not garbage: one more raises. No limit
---@field slice? number     seconds of CPU time that a thread computes before it
--- is made to yield. No limit but config.preempt
---@field stretch? number   seconds that a thread computes without a wait, in
--- however many slices; then it is ended, whatever it catches. No limit
---@field life? number      seconds from a thread's start until it is ended,
--- whatever it does; up to an eighth more. No limit
---@field fuel? integer     instructions of Lua for each thread that
--- Sandbox:spawn makes, with all that it spawns: the end is at the same place
--- in each run, but the code takes 1.6 to 2.1 times as long. Each thread and
--- coroutine takes 100 when it is made. Finalizers of the program's garbage,
--- written in Lua, burn it where they run. No limit
---@field output? number    bytes of print a second; 16384. After a pause four
--- seconds' worth may come at once, or 64 KB. What is beyond is dropped

--- A sandbox: globals for scripts, and the threads that run them.
---
--- In it there is no __gc, load takes text alone, collectgarbage tells "count"
--- alone, and getmetatable knows only what scripts have set. Libraries are
--- read-only. A script sees and kills the threads of its sandbox alone. Where
--- its calls compute for long (patterns, sort, a long text that is compiled)
--- they give the others turns, and a kill strikes within. Loops in Lua do so if
--- `slice` is set, or config.preempt. Memory is the whole state's: a program
--- that wants a limit on it sets one from C, green_lua_limit().
---
--- Bounds are those of the thread, whoever wrote what it runs. If it calls a
--- function of another sandbox, or goes on in a coroutine of it, its own time,
--- fuel and kill hold. What it makes (threads, timeouts, sockets, queues,
--- coroutines) counts in its own sandbox, whoever has that later. Powers are
--- those of the function: it can do what it can name, and who hands one out
--- hands these out. A thread of the program that calls a function of a script
--- has no bounds.
---@class green.sandbox
---@field env table  the globals. A program that reads them may find anything:
--- metatables with functions of the script, which run in the reader's thread.
--- So do those of a value that a script returns, or of its error, if the
--- program compares, indexes or prints it. Reports print it in the sandbox
local Sandbox = {}

--- Makes a sandbox. Never switches. Raises for unknown options, and where
--- limits of time are impossible: the system has no timer or signal for them.
---@param options? green.sandbox.options
---@return green.sandbox
function green.sandbox(options) end

--- The function of a text, which has the sandbox's globals; or nil and why not.
--- Run it by spawn: it is only its threads that have its bounds. Never switches
--- but in a thread of a sandbox.
---@param text string
---@param name? string  for messages: "=script"
---@return function|nil
---@return string|nil message
function Sandbox:load(text, name) end

--- Spawns a text, or a function, with arguments, as a thread of the sandbox;
--- its children are in it, too. A thread of another sandbox that calls this
--- spawns in its own: that one's limits hold. Raises for an error of syntax,
--- and when there are too many threads. Never switches.
---@param f string|function
---@param ... any
---@return green.thread
function Sandbox:spawn(f, ...) end

--- Its live threads, by id. Never switches.
---@return green.thread[]
function Sandbox:threads() end

--- Kills all its threads, and returns how many. They end within twice the
--- grace, and spawn no others meanwhile: a killed thread of a sandbox cannot.
--- Never switches.
---@param reason? any
---@return integer
function Sandbox:kill(reason) end

---@class green.sandbox.stats
---@field threads integer  alive
---@field timers integer   timeouts in force
---@field descriptors integer  open sockets, and files and pipes where io is
--- patched
---@field items integer    values in its queues
---@field coroutines integer  not collected yet
---@field dropped integer  bytes of print that came too fast

--- Figures. Never switches.
---@return green.sandbox.stats
function Sandbox:stats() end

return green
