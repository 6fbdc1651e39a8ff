---@meta green
-- The public interface of luagreen, for editors and as the reference.
-- A limit s is in seconds: nil or math.huge is none; 0 or less tries once and
-- never switches (sleep alone takes a turn then). NaN raises.
-- What the world decides is returned: nil and "timeout", "closed" or a text of
-- the system. Misuse raises a string; others' errors are raised as they were.
-- Interruptions (timeouts, kills, throws) are raised by calls marked so, on
-- entry too, until they are over; never by calls with a limit of 0 or less.
-- Memory model: between two calls that may switch no other green thread runs.
-- Never switch: spawn*, kill, throw, cancel, link, unlink, an event's send and
-- send_error, close of queues and sockets, all marked so, all with s <= 0.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green
---@field _VERSION string
---@field backdoor green.backdoor    loaded on first use
---@field StopServe green.StopServe  raised by a handler, ends its serve()
local green = {}

---@alias green.kind
---| "thread"
---| "timeout"
---| "killed"
---| "deadlock"
---| "event"
---| "queue"
---| "ticker"
---| "StopServe"
---| "tcp{client}"
---| "tcp{server}"
---| "unixstream{client}"
---| "unixstream{server}"

------------------------------------------------------------------- threads --

--- A green thread. Closing the handle (`local _ <close> = t`) kills the thread
--- and joins it, and never raises; it may switch.
---@class green.thread
---@field id integer   never used again
---@field name string  may be set; "file:line" of the function by default
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

--- spawn, but it starts after s seconds; cancel() prevents that. Never
--- switches. Raises as spawn, and when s is no number.
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

--- The calling thread, main too; nil on a host's own stack. Never switches.
---@return green.thread?
function green.current() end

--- The live thread with that id, or nil. Never switches.
---@param id integer
---@return green.thread?
function green.thread(id) end

--- The live threads, by id. Never switches.
---@return green.thread[]
function green.threads() end

--- Blocks for s seconds; nil, 0 or less: one turn for everybody else.
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

--- Kills it: its interruptible calls raise the killed object from now on. One
--- that swallows it for config.grace is ended by force, and takes turns while
--- it computes. The first reason counts. Never switches, on itself too.
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
--- soon if it has ended. Takes its error off green.on_error. Never switches.
--- Raises when f is not callable.
---@param f function
---@param ... any
function Thread:link(f, ...) end

--- Takes back the first link with that f. Never switches.
---@param f function
---@return boolean  true if there was one
function Thread:unlink(f) end

--- Never switches.
---@return "new"|"ready"|"running"|"blocked"|"done"|"failed"|"killed"
function Thread:status() end

--- What it is blocked in, or nil. Never switches.
---@return green.waiting?
function Thread:waiting() end

--- Its Lua stack as it is now, or where its error was raised, with the place
--- where it was spawned and what caused the error. Never switches.
---@return string
function Thread:traceback() end

---@class green.waiting
---@field what string       the call: "sleep", "queue:get", ...
---@field on? any           the object it waits for
---@field since number      seconds, as green.now()
---@field deadline? number  seconds, as green.now(); nil: no limit
---@field where? string     "file:line" of the call

-------------------------------------------------------------- interruption --

--- A time limit on a scope, and the error it raises. Closing cancels it. It
--- prints, and can be joined to a string.
---@class green.timeout
---@field seconds? number  nil: never
---@field where string     "file:line" where it was made
---@field thread integer   id of its thread
local Timeout = {}

--- From s seconds on, the calling thread's interruptible calls raise the
--- timeout, or err, until it is cancelled. One made in a coroutine rests while
--- that is suspended. Never switches. Raises when err is false or s is NaN.
---@param s? number  seconds; nil: never
---@param err? any   raised in its place
---@return green.timeout
function green.timeout(s, err) end

--- Ends the limit; harmless when it has ended. Never switches.
function Timeout:cancel() end

--- Starts it again from now, in force even when it had expired. Never switches.
--- Raises for one of another thread that was cancelled.
---@param s? number  seconds; as before by default
function Timeout:restart(s) end

--- Has the time passed, whether it was raised or not? Never switches.
---@return boolean
function Timeout:expired() end

--- Runs f(...) for at most s seconds. Only its own expiry becomes a value; when
--- f returned although time was over, its results are returned. Raises what f
--- raises. Interruptible. May switch.
---@param s? number  seconds; nil: no limit
---@param f function
---@param ... any
---@return any ...
---@overload fun(s?: number, f: function, ...): nil, "timeout"
function green.with_timeout(s, f, ...) end

--- Runs f(...) with kills and outer timeouts held back, for at most s seconds;
--- then they show again. Timeouts made inside work. Raises what f raises, and
--- outside green threads. Interruptible. May switch.
---@param s? number  seconds; config.grace by default
---@param f function
---@param ... any
---@return any ...
function green.shield(s, f, ...) end

--- pcall that lets a pending interruption through. Switches if f does.
---@param f function
---@param ... any
---@return boolean ok
---@return any ...
function green.pcall(f, ...) end

--- What is pending on the calling thread, or nil. Never raises nor switches.
---@return any
function green.interrupted() end

--- Seconds to the nearest timeout in force, or nil. Never switches.
---@return number?
function green.deadline() end

----------------------------------------------------------- time and errors --

--- Monotonic seconds, for deadlines and durations. Never switches.
---@return number
function green.now() end

--- Ticks every s seconds: `for n in green.ticker(s) do ... end`. The phase is
--- kept; missed ticks are skipped, and n counts them. Closing cancels it.
---@class green.ticker
---@operator call: integer?
local Ticker = {}

--- Never switches. Raises when s is not a positive, finite number.
---@param s number  seconds between two ticks
---@return green.ticker
function green.ticker(s) end

--- Waits for the next tick, and returns its number. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return integer n
---@overload fun(self: green.ticker, s?: number): nil, "timeout"
---@overload fun(self: green.ticker, s?: number): nil, "closed"
function Ticker:wait(s) end

--- Ends the loop of whoever waits for it. Never switches.
function Ticker:cancel() end

--- Where errors go that nobody waits for: f(err, thread), in a green thread of
--- its own; it may block. They are printed to stderr by default. Never
--- switches. Raises when f is not callable.
---@param f? function
---@return function former  the handler so far
function green.on_error(f) end

--- For xpcall: the error as text, with the traceback of where it was raised and
--- its causes in other threads. Never switches.
---@param err? any
---@return string
function green.traceback(err) end

--- The kind of an object of the library, or nil. Never switches.
---@param x any
---@return green.kind?
function green.type(x) end

--- Is it a time limit's end: any timeout object, or the string "timeout"? Never
--- switches.
---@param err any
---@return boolean
function green.is_timeout(err) end

--- What a killed thread's calls raise.
---@class green.killed
---@field reason any
---@field where string    place of the kill, "file:line: "
---@field thread integer  id

--- Raised once in main, when nothing can ever wake any thread.
---@class green.deadlock
---@field threads green.stuck[]
---@field cycle? string  threads that join each other: "#2 -> #3 -> #2"

---@class green.stuck
---@field id integer
---@field name string
---@field what string
---@field since number   seconds, as green.now()
---@field where? string  "file:line"

---@class green.StopServe

------------------------------------------------------------- event, queue --

--- One value, or error, sent once to all who wait, now or later.
---@class green.event
local Event = {}

--- Never switches.
---@return green.event
function green.event() end

--- Waits for the values sent; raises the error sent. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return any ...
---@overload fun(self: green.event, s?: number): nil, "timeout"
function Event:wait(s) end

--- Sends values, true if none is given. Never switches. Raises the second time.
---@param ... any
function Event:send(...) end

--- Each wait raises err. Never switches. Raises when something was sent.
---@param err any
function Event:send_error(err) end

--- Was anything sent? Never switches.
---@return boolean
function Event:ready() end

--- A queue of values, first come, first served; #q is how many are in it.
---@class green.queue
---@operator len: integer
local Queue = {}

--- Never switches. Raises when n is negative.
---@param n? integer  most values in it; 0: put waits for a get; nil: no bound
---@return green.queue
function green.queue(n) end

--- A queue of 0: a put waits until its value is taken. Never switches.
---@return green.queue
function green.channel() end

--- Puts a value, false included; blocks while the queue is full. A put that
--- gives up leaves nothing behind. Raises for nil. May switch, without a bound
--- too: a producer goes round when its budget is spent. Interruptible.
---@param v any
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.queue, v: any, s?: number): nil, "timeout"
---@overload fun(self: green.queue, v: any, s?: number): nil, "closed"
function Queue:put(v, s) end

--- Waits for the next value; "closed" when the queue is closed and drained.
--- Interruptible. May switch.
---@param s? number  time limit in seconds
---@return any v
---@overload fun(self: green.queue, s?: number): nil, "timeout"
---@overload fun(self: green.queue, s?: number): nil, "closed"
function Queue:get(s) end

--- The value that get would return, or nil. Never switches.
---@return any
function Queue:peek() end

--- Iterates over the values until closed and drained. The iterator is
--- interruptible and may switch.
---@return fun(q: green.queue): any
---@return green.queue
function Queue:items() end

--- No more puts: who waits in one gets nil, "closed"; gets drain what is left.
--- Never switches.
function Queue:close() end

--- Drops all values, and counts them as done; waiting puts go on. Never
--- switches.
---@return integer dropped
function Queue:clear() end

--- Sets the bound; waiting puts go on if there is room. Never switches. Raises
--- when n is negative.
---@param n? integer  nil: no bound
function Queue:resize(n) end

--- How many threads wait. Never switches.
---@return integer getters
---@return integer putters
function Queue:waiting() end

--- One value that was taken is done. Never switches. Raises when called more
--- often than values were put.
function Queue:task_done() end

--- Waits until each value that was put is done. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.queue, s?: number): nil, "timeout"
function Queue:join(s) end

---------------------------------------------------------- config and stats --

---@class green.options
---@field grace? number   seconds that clean-up may take; 5
---@field keep_stacks? integer  while fewer threads are blocked on C stacks of
--- their own, one that blocks may keep its stack, which is faster; 1024
---@field max_stacks? integer  of C stacks; beyond it blocking raises; 131072
---@field recycle? boolean  coroutines of ended threads are used again; true
---@field poll_switches? integer  switches between two polls; 256
---@field poll_ms? integer  milliseconds between two polls at most; 1
---@field budget? integer  calls in a row that need not wait before one gives
--- the others a turn; 64
---@field sigint? boolean  Ctrl-C is raised in main, once; set before main first
--- blocks, and only on a loop of the library's own; true

--- Sets the options that are given. Never switches. Raises for an unknown
--- option or a bad value.
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
---@field guard string         how stacks are guarded
---@field switch string        how stacks are switched

--- Figures of the runtime. Never switches.
---@return green.stats
function green.stats() end

------------------------------------------------------------------- network --

---@class green.connect_options
---@field timeout? number  seconds, for all of it
---@field family? "inet"|"inet4"|"inet6"
---@field bind? string      address to connect from
---@field nodelay? boolean  nothing is sent late; true

--- Connects to a TCP server, by every address of the name, or to a Unix one:
--- "unix:/path" without a port. Raises for unknown options. Interruptible. May
--- switch.
---@param host string
---@param port? integer|string
---@param opts? green.connect_options
---@return green.connection
---@overload fun(host: string, port?: any, opts?: table): nil, "timeout"
---@overload fun(host: string, port?: any, opts?: table): nil, string
function green.connect(host, port, opts) end

---@class green.listen_options
---@field backlog? integer   connections that wait to be accepted; 1024
---@field reuseport? boolean  several may listen; false
---@field mode? integer       of a Unix socket's file: 384 is 0600

--- Listens. A Unix socket's file goes when the listener closes; one that nobody
--- listens on is replaced. Raises for unknown options. Interruptible. May
--- switch.
---@param host? string  nil or "*": every address of IPv6 and IPv4; "unix:/path"
---@param port? integer|string  0: a free one, see getsockname
---@param opts? green.listen_options
---@return green.listener
---@overload fun(host?: string, port?: any, opts?: table): nil, string
function green.listen(host, port, opts) end

--- Runs handler(conn) for each connection in a green thread of its own, until
--- the listener is closed or a handler raises green.StopServe. conn is closed
--- when its handler ends; its error goes to green.on_error. Handlers in flight
--- go on. Raises for bad arguments. Interruptible; the listener stays open
--- then. May switch.
---@param listener green.listener
---@param handler fun(conn: green.connection)
---@param limit? number|table  most handlers at once (accepting waits), or an
--- object whose spawn_n(f) runs them
---@return true
---@overload fun(listener: any, handler: any, limit?: any): nil, string
function green.serve(listener, handler, limit) end

--- Waits until a descriptor can be read or written. It is watched during the
--- call only, and may be closed after it. Raises when another thread waits for
--- the same. Interruptible. May switch.
---@param fd integer|table|userdata  or an object with getfd()
---@param event "r"|"w"
---@param s? number  time limit in seconds
---@return true
---@overload fun(fd: any, event: "r"|"w", s?: number): nil, "timeout"
---@overload fun(fd: any, event: "r"|"w", s?: number): nil, "closed"
function green.wait_fd(fd, event, s) end

--- What all sockets have: LuaSocket's methods. Closing the variable (<close>)
--- and collecting the object close it. A method raises for sockets of another
--- state. A limit is that of settimeout.
---@class green.socket
---@field class string  "tcp{client}", ...
local Socket = {}

--- Connections send and receive.
---@class green.connection : green.socket
local Connection = {}

---@class green.listener : green.socket
local Listener = {}

--- Closes it: calls that wait for it end with "closed". Never switches.
---@return 1
function Socket:close() end

--- Sets the limit of what may switch: "b" for each wait of a call, "t" (or "r")
--- for the whole call. With 0 only looking up a name switches. settimeout
--- itself never switches. Raises for NaN and other modes.
---@param s? number  seconds; nil or negative: none
---@param mode? "b"|"t"|"r"  "b" by default
---@return 1
function Socket:settimeout(s, mode) end

--- The limits "b" and "t" in seconds, negative: none. Never switches.
---@return number block
---@return number total
function Socket:gettimeout() end

--- Its own address; the path alone of a Unix socket. Never switches.
---@return string host
---@return integer? port
---@return "inet"|"inet6"|nil family
---@overload fun(self: green.socket): nil, "closed"
---@overload fun(self: green.socket): nil, string
function Socket:getsockname() end

--- The peer's address; the path alone of a Unix socket. Never switches.
---@return string host
---@return integer? port
---@return "inet"|"inet6"|nil family
---@overload fun(self: green.socket): nil, "closed"
---@overload fun(self: green.socket): nil, string
function Socket:getpeername() end

--- Never switches.
---@return "inet4"|"inet6"|"unix"
function Socket:getfamily() end

--- The value of an option; "error" gives nil or the pending error's text. Never
--- switches. Raises for an unknown name.
---@param name green.socket_option|"error"
---@return any
---@overload fun(self: green.socket, name: string): nil, "closed"
---@overload fun(self: green.socket, name: string): nil, string
function Socket:getoption(name) end

--- Never switches. Raises for an unknown name or a value of another type.
---@param name green.socket_option
---@param value any  boolean, number, {on = boolean, timeout = seconds} or text
---@return 1
---@overload fun(self: green.socket, name: string, v: any): nil, "closed"
---@overload fun(self: green.socket, name: string, v: any): nil, string
function Socket:setoption(name, value) end

---@alias green.socket_option
---| "keepalive"              boolean
---| "oobinline"              boolean
---| "reuseaddr"              boolean
---| "reuseport"              boolean
---| "tcp-nodelay"            boolean
---| "tcp-keepidle"           seconds
---| "tcp-keepcnt"            number of probes
---| "tcp-keepintvl"          seconds
---| "tcp-defer-accept"       seconds
---| "tcp-fastopen"           length of the queue
---| "tcp-fastopen-connect"   0 or 1
---| "ipv6-v6only"            boolean
---| "linger"                 {on = boolean, timeout = seconds}
---| "recv-buffer-size"       bytes
---| "send-buffer-size"       bytes
---| "bindtodevice"           name of an interface

--- Are received bytes waiting in the object's buffer? Never switches.
---@return boolean
function Socket:dirty() end

--- The descriptor, -1 when closed. Never switches.
---@return integer
function Socket:getfd() end

--- Takes another descriptor and lets go of the present one without closing it.
--- What was received and not read is dropped. Never switches.
---@param fd integer  -1: none
function Socket:setfd(fd) end

--- Never switches.
---@return integer received  bytes
---@return integer sent      bytes
---@return number age        seconds
function Socket:getstats() end

--- Sets what getstats tells; nil: as it is. Never switches.
---@param received? integer  bytes
---@param sent? integer      bytes
---@param age? number        seconds
---@return 1
function Socket:setstats(received, sent, age) end

--- Connects to host and port, or to a Unix path. The limit covers it all.
--- Interruptible, which closes the descriptor. May switch.
---@param host string
---@param port? integer|string  not for a Unix path
---@return 1
---@overload fun(self: green.socket, host: string, port?: any): nil, "timeout"
---@overload fun(self: green.socket, host: string, port?: any): nil, "closed"
---@overload fun(self: green.socket, host: string, port?: any): nil, string
function Socket:connect(host, port) end

--- The same as connect. Interruptible. May switch.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.socket, host: string, port?: any): nil, "timeout"
---@overload fun(self: green.socket, host: string, port?: any): nil, "closed"
---@overload fun(self: green.socket, host: string, port?: any): nil, string
function Socket:setpeername(host, port) end

--- Gives it an address of its own. Raises once it is connected or listens.
--- Interruptible and may switch to look up a name.
---@param host string  "*": every address; a Unix path
---@param port? integer|string
---@return 1
---@overload fun(self: green.socket, host: string, port?: any): nil, string
function Socket:bind(host, port) end

--- The same as bind. Interruptible and may switch to look up a name.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.socket, host: string, port?: any): nil, string
function Socket:setsockname(host, port) end

--- Makes it a listener. Never switches. Raises once it is connected or listens.
---@param backlog? integer  connections that wait to be accepted; 32
---@return 1
---@overload fun(self: green.socket, backlog?: integer): nil, "closed"
---@overload fun(self: green.socket, backlog?: integer): nil, string
function Socket:listen(backlog) end

--- Waits for a connection. Raises when another thread waits for one here.
--- Interruptible. May switch.
---@return green.connection
---@overload fun(self: green.listener): nil, "timeout"
---@overload fun(self: green.listener): nil, "closed"
---@overload fun(self: green.listener): nil, string
function Listener:accept() end

--- Waits for bytes and returns those that came, at most n. Raises when another
--- thread reads from it, or n is not positive. Interruptible. May switch.
---@param n integer  bytes; never more than 65536 are returned
---@return string data
---@overload fun(self: green.connection, n: integer): nil, "timeout"
---@overload fun(self: green.connection, n: integer): nil, "closed"
---@overload fun(self: green.connection, n: integer): nil, string
function Connection:recv(n) end

--- Waits for a line without its end ("*l"), exactly n bytes, or all until the
--- peer closes ("*a"). After a limit what came is returned as partial; after
--- an interruption it stays in the buffer. Raises when another thread reads
--- from it. Interruptible. May switch.
---@param pattern? "*l"|"*a"|integer  "*l" by default
---@param prefix? string  put before the result; counts towards n
---@return string data
---@overload fun(self: green.connection, ...): nil, "timeout", string
---@overload fun(self: green.connection, ...): nil, "closed", string
---@overload fun(self: green.connection, ...): nil, string, string
function Connection:receive(pattern, prefix) end

--- Sends data, or its bytes i to j, and returns the index of the last one sent.
--- Several senders take turns, whole sends at a time. One that is interrupted
--- midway breaks the write side: later sends return "send was cut after n
--- bytes". The third value is the last byte sent. Interruptible. May switch.
---@param data string
---@param i? integer  1 by default
---@param j? integer  -1 by default
---@return integer last
---@overload fun(self: green.connection, ...): nil, "timeout", integer
---@overload fun(self: green.connection, ...): nil, "closed", integer
---@overload fun(self: green.connection, ...): nil, string, integer
function Connection:send(data, i, j) end

--- Iterates over the lines, without their ends, until the peer closes. Raises
--- on other failures, "timeout" too. The iterator is interruptible and may
--- switch.
---@return fun(): string?
function Connection:lines() end

--- Iterates over the bytes as they come, until the peer closes. Raises on other
--- failures, "timeout" too. The iterator is interruptible and may switch.
---@param n? integer  most bytes at a time; 65536
---@return fun(): string?
function Connection:chunks(n) end

--- Ends one direction, or both. Never switches. Raises for other names.
---@param how? "receive"|"send"|"both"  "both" by default
---@return 1
---@overload fun(self: green.connection, how?: string): nil, "closed"
---@overload fun(self: green.connection, how?: string): nil, string
function Connection:shutdown(how) end

------------------------------------------------------------------ backdoor --

--- A Lua prompt inside the running program, for telnet and nc. Commands take
--- turns while they compute: the memory model does not hold for them.
---@class green.backdoor
local backdoor = {}

---@class green.backdoor_options
---@field locals? table    names that sessions see, and may assign
---@field token? string    to be typed first; must not be empty
---@field banner? string   the greeting
---@field anywhere? boolean  server: not only on the loopback interface; false

--- Serves sessions as green.serve. Raises for bad options, and for a listener
--- that other machines reach, unless `anywhere`. Interruptible. May switch.
---@param listener green.listener
---@param opts? green.backdoor_options
---@return true
---@overload fun(listener: any, opts?: any): nil, string
function backdoor.server(listener, opts) end

--- Runs a session on a connection, and closes that at the end. Raises for bad
--- options. Interruptible. May switch.
---@param conn green.connection
---@param opts? green.backdoor_options
function backdoor.session(conn, opts) end

return green
