---@meta
-- LuaSocket's table: green.socket is loaded on first use;
-- `local socket = require "green.socket"` gives the same.
--
-- What a program has from `require "socket"` and what is here are exchangeable:
-- functions, fields, classes, words of errors, and what select and the options
-- take. Whatever waits blocks the calling green thread alone, the look-up of a
-- name too. Where LuaSocket has a fault (a limit that begins anew with each
-- address, a client that cannot connect again), this has none. `socket.http`,
-- `smtp`, `ftp`, `ltn12` of an installed LuaSocket run on it: put it into
-- `package.loaded.socket` and `package.loaded["socket.core"]` before they are
-- loaded, or see green.monkey_patch.
--
-- Its objects have the methods of green.stream and green.datagram and these
-- differences: errors are LuaSocket's words, a connection that was reset is
-- "closed", `receive` takes LuaSocket's patterns only, `setoption` and
-- `getoption` know LuaSocket's options and fail with fixed texts.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field socket green.socket
local green = {}

---@class green.socket
---@field BLOCKSIZE integer  bytes that sources read at once: 2048
---@field dns green.socket_dns  names and addresses
---@field unix green.socket_unix  Unix sockets: what `require "socket.unix"`
--- gives
---@field sinkt table<string, function>  the kinds of sinks, by name
---@field sourcet table<string, function>  the kinds of sources, by name
---@field _VERSION string  LuaSocket's, since programs look for it
---@field _SETSIZE integer  how many sockets `select` takes: as many as the
--- process may have open, 65536 at most
---@field _SOCKETINVALID integer  -1
---@field _DATAGRAMSIZE integer  8192
local socket = {}

--- A TCP socket, a master. Its descriptor is made when `connect` or `bind` has
--- chosen a family: options that must be set before need `tcp4` or `tcp6`.
--- Never switches.
---@return green.stream
function socket.tcp() end

--- A TCP socket for IPv4 alone, with a descriptor. Never switches.
---@return green.stream
---@overload fun(): nil, string
function socket.tcp4() end

--- A TCP socket for IPv6 alone, with a descriptor. Never switches.
---@return green.stream
---@overload fun(): nil, string
function socket.tcp6() end

--- A socket for datagrams. Its descriptor is made when `sendto`, `setpeername`
--- or `setsockname` has chosen a family. `receive` cuts at 8192 bytes unless it
--- is told otherwise, and says nothing of it; `sendto` takes numbers, no names.
--- Never switches.
---@return green.datagram
function socket.udp() end

--- One for IPv4 alone, with a descriptor. Never switches.
---@return green.datagram
---@overload fun(): nil, string
function socket.udp4() end

--- One for IPv6 alone, with a descriptor. Never switches.
---@return green.datagram
---@overload fun(): nil, string
function socket.udp6() end

--- Opens a device, a terminal or a pipe that can be polled. It has the methods
--- of a client. The first one makes the process ignore SIGPIPE. Never switches.
---@param path string
---@return green.connection
---@overload fun(path: string): nil, string
function socket.serial(path) end

--- Connects to the first address of the host that answers. Interruptible. May
--- switch.
---@param host string
---@param port integer|string
---@param local_host? string  where to connect from
---@param local_port? integer|string
---@param family? "inet"|"inet6"|"unspec"  of the local address
---@return green.connection
---@overload fun(host: string, port: any, ...): nil, string
function socket.connect(host, port, local_host, local_port, family) end

--- `connect` with the family "inet". Interruptible. May switch.
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@return green.connection
---@overload fun(host: string, port: any, ...): nil, string
function socket.connect4(host, port, local_host, local_port) end

--- `connect` with the family "inet6". Interruptible. May switch.
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@return green.connection
---@overload fun(host: string, port: any, ...): nil, string
function socket.connect6(host, port, local_host, local_port) end

--- Listens on the first address of the host that can be bound, with the option
--- "reuseaddr"; "*" is every address of IPv4. Interruptible. May switch.
---@param host string
---@param port integer|string
---@param backlog? integer  32 by default
---@return green.listener
---@overload fun(host: string, port: any, backlog?: integer): nil, string
function socket.bind(host, port, backlog) end

--- Waits until some are ready: sockets of this library, of LuaSocket and of
--- LuaSec, and anything with a method `getfd`; one with a method `dirty` that
--- gives true is ready to be read. Other threads may read, write or select the
--- same. A socket that is closed meanwhile is ready. What has no descriptor is
--- passed over. Interruptible. May switch. Raises for an open descriptor that
--- is none, and for more than `_SETSIZE` sockets.
---@param readers? table[]  up to the first nil
---@param writers? table[]
---@param s? number  seconds; nil or negative: no limit
---@return table readable  a list, and from each of them to its number
---@return table writable
---@return "timeout"? err  with two empty tables
function socket.select(readers, writers, s) end

--- Blocks the calling green thread. Interruptible. May switch.
---@param s number  seconds; 0 or less: one turn for all others
function socket.sleep(s) end

--- Seconds since 1970. Goes with the clock of a test. Never switches.
---@return number
function socket.gettime() end

--- A function that calls f and returns what it returns; where a `try` within it
--- raises, nil and the message. Other errors pass, interruptions too: what
--- strikes the thread (a kill, a timeout, a throw) first runs the functions
--- that `newtry` was given during the call, the last first, for at most 5 s
--- each, whatever else strikes; so do the ends of a coroutine or a thread in
--- its midst. Their errors go to `green.on_error`. Never switches itself.
---@param f function
---@return function
function socket.protect(f) end

--- A function like `try`, which calls the finalizer, without arguments, before
--- it raises. Never switches.
---@param finalizer? function
---@return function
function socket.newtry(finalizer) end

--- Returns its arguments, unless the first is nil or false: then it raises the
--- second for `protect`. Never switches.
---@param ... any
---@return any ...
function socket.try(...) end

--- All arguments but the first n. Never switches.
---@param n integer
---@param ... any
---@return any ...
function socket.skip(n, ...) end

--- A function that calls what its first argument, a name, stands for in the
--- table, or the field `default` where that is no name. Never switches.
---@param kinds table<string, function>
---@return function
function socket.choose(kinds) end

--- A sink of LTN12: "keep-open" (the default), "close-when-done", and what
--- `socket.http` adds. Never switches; to call the sink may.
---@param kind? string
---@param sock green.connection
---@return table
function socket.sink(kind, sock) end

--- A source of LTN12: "until-closed" (the default), "by-length", and what
--- `socket.http` adds. Never switches; to call the source may.
---@param kind? string
---@param sock green.connection
---@param length? integer  of "by-length"
---@return table
function socket.source(kind, sock, length) end

--- Does nothing. Never switches.
function socket.__unload() end

--- Unix sockets. The table can be called, which is `stream`. They have a
--- descriptor from the start; one whose `connect` or `bind` was refused has
--- none any more. The file that `bind` makes is left behind.
---@class green.socket_unix
local Unix = {}

--- Never switches.
---@return green.stream
---@overload fun(): nil, string
function Unix.stream() end

--- The same as `stream`. Never switches.
---@return green.stream
function Unix.tcp() end

--- Never switches.
---@return green.datagram
---@overload fun(): nil, string
function Unix.dgram() end

--- The same as `dgram`. Never switches.
---@return green.datagram
function Unix.udp() end

--- Names and addresses, as LuaSocket has them; see also green.dns.
---@class green.socket_dns
local Dns = {}

--- The addresses of a name. Interruptible. May switch.
---@param name string
---@return {family: string, addr: string}[]
---@overload fun(name: string): nil, string
function Dns.getaddrinfo(name) end

--- The names of a host's addresses, one for each, and of a service.
--- Interruptible. May switch.
---@param host? string
---@param service? string
---@return string[]
---@return string? service
---@overload fun(host?: string, service?: string): nil, string
function Dns.getnameinfo(host, service) end

--- The first IPv4 address of a name, and a table with the fields name, alias
--- and ip, which is a list. An address is looked up in reverse. Interruptible.
--- May switch.
---@param name string  or an address
---@return string
---@return table
---@overload fun(name: string): nil, string
function Dns.toip(name) end

--- The name of a host, and the table that `toip` has. Interruptible. May
--- switch.
---@param address string  or a name
---@return string
---@return table
---@overload fun(address: string): nil, string
function Dns.tohostname(address) end

--- This machine's name. Never switches.
---@return string
function Dns.gethostname() end
