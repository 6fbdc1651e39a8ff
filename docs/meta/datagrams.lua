---@meta
-- Datagrams: UDP and Unix sockets, and servers for them.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.udp_options
---@field family? "inet"|"inet4"|"inet6"
---@field reuseaddr? boolean  several sockets may have the port, for multicast
---@field reuseport? boolean  several share what arrives; false
---@field broadcast? boolean  it may send to broadcast addresses; false

--- A socket for datagrams. With a host and a port, it has that address;
--- without, it takes the family of the first peer that it is told, or that an
--- option belongs to. "unix:/path" is a Unix socket with that name, whose file
--- is replaced and removed as a listener's is (see green.listen); "unix:" is
--- one without a name. Raises for unknown options and for an impossible port.
--- Interruptible. May switch to look up a name.
---@param host? string  nil or "*": every address of IPv6 and IPv4
---@param port? integer|string  0: a free one, see getsockname
---@param opts? green.udp_options
---@return green.datagram
---@overload fun(host?: string, port?: any, opts?: table): nil, string
function green.udp(host, port, opts) end

--- Runs handler(sock, data, host, port) for each datagram in a green thread of
--- its own, until the socket is closed or a handler raises green.StopServe,
--- which leaves the socket open. The handler may answer by sock:sendto(reply,
--- host, port). Its error goes to green.on_error. Handlers in flight go on.
--- While there are as many as the limit says, datagrams wait in the kernel,
--- which drops those that it has no room for. Raises for bad arguments.
--- Interruptible; the socket stays open then. May switch.
---@param sock green.datagram
---@param handler function  handler(sock, data, host, port)
---@param limit? number|table  most handlers at once, or an object whose
--- spawn_n(f, ...) runs them
---@return true
---@overload fun(sock: any, handler: any, limit?: any): nil, string
function green.udp_server(sock, handler, limit) end

--- A socket for datagrams: LuaSocket's methods, and more. Closing the variable
--- (<close>) and collecting the object close it. One thread receives at a time;
--- those that send take turns. A limit is that of settimeout.
---@class green.datagram
---@field class string  "udp{connected}", ...
local Datagram = {}

--- Closes it: calls that wait for it end with "closed". Never switches.
---@return 1
function Datagram:close() end

--- Sets a limit of what may switch, "b" or "t" (or "r"). Either one alone
--- limits the whole call; if both are set, "b" limits each wait in it. Never
--- switches. Raises for NaN and other modes.
---@param s? number  seconds; nil or negative: none
---@param mode? "b"|"t"|"r"  "b" by default
---@return 1
function Datagram:settimeout(s, mode) end

--- The limits "b" and "t" in seconds, negative: none. Never switches.
---@return number block
---@return number total
function Datagram:gettimeout() end

--- Its own address; the path alone of a Unix socket. Never switches.
---@return string host
---@return integer? port
---@return "inet"|"inet6"|nil family
---@overload fun(self: green.datagram): nil, "closed"
---@overload fun(self: green.datagram): nil, string
function Datagram:getsockname() end

--- The peer's address; the path alone of a Unix socket. Never switches.
---@return string host
---@return integer? port
---@return "inet"|"inet6"|nil family
---@overload fun(self: green.datagram): nil, "closed"
---@overload fun(self: green.datagram): nil, string
function Datagram:getpeername() end

--- Never switches.
---@return "inet4"|"inet6"|"unix"
function Datagram:getfamily() end

--- The value of an option; "error" gives nil or the pending error's text. Never
--- switches. Raises for an unknown name.
---@param name green.datagram_option|"error"
---@return any
---@overload fun(self: green.datagram, name: string): nil, "closed"
---@overload fun(self: green.datagram, name: string): nil, string
function Datagram:getoption(name) end

--- Never switches. Raises for an unknown name or a value of another type.
---@param name green.datagram_option
---@param value any  boolean, number, text, or a table: {multiaddr = group,
--- interface = address, number or name of one; nil: as the system likes}
---@return 1
---@overload fun(self: green.datagram, name: string, value: any): nil, "closed"
---@overload fun(self: green.datagram, name: string, value: any): nil, string
function Datagram:setoption(name, value) end

---@alias green.datagram_option
---| "broadcast"              boolean: may send to broadcast addresses
---| "dontroute"              boolean
---| "reuseaddr"              boolean
---| "reuseport"              boolean
---| "ip-add-membership"      table: joins a group; it cannot be got
---| "ip-drop-membership"     table: leaves it
---| "ip-multicast-if"        address that multicasts leave from; "*": any
---| "ip-multicast-loop"      boolean: multicasts come back to this machine
---| "ip-multicast-ttl"       number of hops
---| "ipv6-add-membership"    table
---| "ipv6-drop-membership"   table
---| "ipv6-multicast-hops"    number
---| "ipv6-multicast-loop"    boolean
---| "ipv6-unicast-hops"      number
---| "ipv6-v6only"            boolean
---| "recv-buffer-size"       bytes
---| "send-buffer-size"       bytes
---| "bindtodevice"           name of an interface

--- Does a datagram wait in the object's buffer? One does only if memory was too
--- short to deliver it. Never switches.
---@return boolean
function Datagram:dirty() end

--- The descriptor; -1: closed, or not made yet. Never switches.
---@return integer
function Datagram:getfd() end

--- Takes another descriptor and lets go of the present one without closing it.
--- Never switches.
---@param fd integer  -1: none
function Datagram:setfd(fd) end

--- Makes a host and port, or a Unix path, its peer: it sends to that one, and
--- receives from it alone. "*" takes the peer away. Interruptible and may
--- switch to look up a name.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.datagram, host: string, port?: any): nil, string
function Datagram:setpeername(host, port) end

--- The same as setpeername. Interruptible and may switch to look up a name.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.datagram, host: string, port?: any): nil, string
function Datagram:connect(host, port) end

--- Gives it an address of its own. Raises once it is connected. Interruptible
--- and may switch to look up a name.
---@param host string  "*": every address; a Unix path
---@param port? integer|string
---@return 1
---@overload fun(self: green.datagram, host: string, port?: any): nil, string
function Datagram:setsockname(host, port) end

--- The same as setsockname. Interruptible and may switch to look up a name.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.datagram, host: string, port?: any): nil, string
function Datagram:bind(host, port) end

--- Waits for a datagram; "" is one, too. Of one that is longer than n the rest
--- is lost, which "truncated" and its size tell. A peer that is not there is
--- told once, "connection refused", if there is one. Raises when another thread
--- receives from it. Interruptible. May switch.
---@param n? integer  bytes that are wanted; nil: all there are
---@return string data
---@return "truncated"? cut
---@return integer? size
---@overload fun(self: green.datagram, n?: integer): nil, "timeout"
---@overload fun(self: green.datagram, n?: integer): nil, "closed"
---@overload fun(self: green.datagram, n?: integer): nil, string
function Datagram:receive(n) end

--- The same as receive. Interruptible. May switch.
---@param n? integer
---@return string data
---@return "truncated"? cut
---@return integer? size
---@overload fun(self: green.datagram, n?: integer): nil, "timeout"
---@overload fun(self: green.datagram, n?: integer): nil, "closed"
---@overload fun(self: green.datagram, n?: integer): nil, string
function Datagram:recv(n) end

--- Waits for a datagram and tells its sender: host and port, or the path of a
--- Unix socket, "" if it has none. Raises when another thread receives from it.
--- Interruptible. May switch.
---@param n? integer  bytes that are wanted; nil: all there are
---@return string data
---@return string host
---@return integer? port
---@return "truncated"? cut
---@return integer? size
---@overload fun(self: green.datagram, n?: integer): nil, "timeout"
---@overload fun(self: green.datagram, n?: integer): nil, "closed"
---@overload fun(self: green.datagram, n?: integer): nil, string
function Datagram:receivefrom(n) end

--- Iterates over the datagrams, each with its sender as receivefrom tells it,
--- until the socket is closed. Raises on other failures, "timeout" too. The
--- iterator is interruptible and may switch.
---@param n? integer  bytes that are wanted of each
---@return fun(): string?, string?, integer?, "truncated"?, integer?
function Datagram:datagrams(n) end

--- Sends a datagram to the peer, whole or not at all. Raises unless it is
--- connected. Interruptible. May switch.
---@param data string
---@return integer bytes
---@overload fun(self: green.datagram, data: string): nil, "timeout"
---@overload fun(self: green.datagram, data: string): nil, "closed"
---@overload fun(self: green.datagram, data: string): nil, string
function Datagram:send(data) end

--- Sends a datagram to a host and port, or to a Unix path, whole or not at all.
--- A name is looked up each time. Raises if it is connected. Interruptible. May
--- switch.
---@param data string
---@param host string
---@param port? integer|string
---@return integer bytes
---@overload fun(self: green.datagram, ...): nil, "timeout"
---@overload fun(self: green.datagram, ...): nil, "closed"
---@overload fun(self: green.datagram, ...): nil, string
function Datagram:sendto(data, host, port) end
