---@meta
-- Network: sockets, servers and descriptors.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field StopServe green.StopServe  raised by a handler, ends its serve()
local green = {}

---@class green.connect_options
---@field timeout? number  seconds, for all of it
---@field family? "inet"|"inet4"|"inet6"
---@field bind? string      address to connect from
---@field nodelay? boolean  nothing is sent late; true
---@field tls? true|green.tls_params|green.tls_context  with TLS: the server's
--- certificate must be good, and have the name `host`

--- Connects to a TCP server, or to a Unix one: "unix:/path" without a port, or
--- "unix:@name", an abstract one without a file. Of
--- a name that has several addresses the first to answer wins, as RFC 8305 has
--- it: families take turns, and one that has not answered for a quarter of a
--- second, or less if the limit is short, does not keep the next from being
--- tried. With a limit of 0 a name is not looked up, unless the answer is kept.
--- A name that is empty, too long or holds a zero byte is not known. Raises for
--- unknown options and for a port that there cannot be: "", "-1", 65536.
--- Interruptible. May switch.
---@param host string
---@param port? integer|string  or the name of a service
---@param opts? green.connect_options
---@return green.connection
---@overload fun(host: string, port?: any, opts?: table): nil, "timeout"
---@overload fun(host: string, port?: any, opts?: table): nil, string
function green.connect(host, port, opts) end

---@class green.listen_options
---@field backlog? integer   connections that wait to be accepted; 1024
---@field reuseport? boolean  several may listen; false
---@field mode? string|integer  of a Unix socket's file: "0600", or 384
---@field family? "inet"|"inet4"|"inet6"  only addresses of that family
---@field v6only? boolean     an IPv6 address is not IPv4's as well; true but
--- for "::", which stands for all addresses of both
---@field tls? green.tls_params|green.tls_context  connections have TLS, and
--- make its handshake in whichever thread first uses them

--- Listens. A name that has several addresses is listened on at each of them
--- that this machine has, on the same port, by one listener: getsockname tells
--- the first, getsocknames all, and options are set for all. If one of them is
--- in use, or not allowed, that is the result. A Unix socket's file goes when
--- the listener closes; one that nobody has open is replaced. Raises for
--- unknown options and for a port that there cannot be. Interruptible. May
--- switch.
---@param host? string  nil or "*": every address of IPv6 and IPv4; "unix:/path"
---@param port? integer|string  0: a free one, see getsockname
---@param opts? green.listen_options
---@return green.listener
---@overload fun(host?: string, port?: any, opts?: table): nil, string
function green.listen(host, port, opts) end

--- Runs handler(conn) for each connection in a green thread of its own, until
--- the listener is closed or a handler raises green.StopServe, which leaves the
--- listener open. conn is closed when its handler ends; its error goes to
--- green.on_error. Handlers in flight go on. Raises for bad arguments.
--- Interruptible; the listener stays open then. May switch.
---@param listener green.listener
---@param handler fun(conn: green.connection)
---@param limit? number|table  most handlers at once (accepting waits), or an
--- object whose spawn_n(f) runs them
---@return true
---@overload fun(listener: any, handler: any, limit?: any): nil, string
function green.serve(listener, handler, limit) end

--- Moves bytes from one side to the other until the source ends, or n bytes,
--- without making strings of them; one side may be a file on disk, of Lua's io
--- library, and is read or written from where it stands. What was received
--- already comes first. Nothing is shut at the end: to:shutdown "send" passes
--- it on. What was not written stays with the source, whatever ends the copy:
--- it can be called again, or the rest be read. The limits are those of both
--- sides. Returns how many bytes were moved; after a failure also that side on
--- which it was. Others may send between two pieces. Raises when another thread
--- reads from the source. Interruptible. May switch.
---@param from green.connection|file*
---@param to green.connection|file*
---@param n? number  bytes at most
---@return integer moved
---@overload fun(from: any, to: any, n?: number): nil, "timeout", integer, any
---@overload fun(from: any, to: any, n?: number): nil, "closed", integer, any
---@overload fun(from: any, to: any, n?: number): nil, string, integer, any
function green.copy(from, to, n) end

--- Two sockets of the Unix family that are connected with each other. Never
--- switches. Raises for another kind.
---@param kind? "stream"|"datagram"  "stream" by default
---@return green.connection|green.datagram a
---@return green.connection|green.datagram b
---@overload fun(kind?: string): nil, string
function green.socketpair(kind) end

--- A socket around a descriptor that is there, inherited or received: a
--- connection, a listener, or one for datagrams. Never switches.
---@param fd integer
---@return green.stream|green.datagram
---@overload fun(fd: integer): nil, string
function green.adopt(fd) end

--- Waits until a descriptor can be read or written. It is watched only during
--- the call, and may be closed right after. Raises when another thread waits
--- for the same. Interruptible. May switch.
---@param fd integer|table|userdata  or an object with getfd()
---@param event "r"|"w"
---@param s? number  time limit in seconds
---@return true
---@overload fun(fd: any, event: "r"|"w", s?: number): nil, "timeout"
---@overload fun(fd: any, event: "r"|"w", s?: number): nil, "closed"
function green.wait_fd(fd, event, s) end

--- The methods of all sockets, which are LuaSocket's. Closing the variable
--- (<close>) and collecting the object close it. A method raises for sockets of
--- another state. A limit is that of settimeout.
---@class green.stream
---@field class string  "tcp{client}", ...
local Socket = {}

--- Connections send and receive.
---@class green.connection : green.stream
local Connection = {}

---@class green.listener : green.stream
local Listener = {}

--- Closes it: calls that wait for it end with "closed". The kernel still sends
--- bytes on their way, even if the option "linger" is set; a linger timeout of
--- 0 resets the connection. Never switches, and never waits for the peer.
---@return 1
function Socket:close() end

--- Sets a limit of calls that may switch, "b" or "t" (or "r"). Alone, each is
--- one of the whole call; where both are set, "b" is one of each wait in it.
--- With 0 only looking up a name switches. settimeout itself never switches.
--- Raises for NaN and other modes.
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
---@overload fun(self: green.stream): nil, "closed"
---@overload fun(self: green.stream): nil, string
function Socket:getsockname() end

--- All its own addresses: a listener may have several, of one port. Never
--- switches.
---@return {addr: string, port: integer?, family: string?}[]
---@overload fun(self: green.stream): nil, "closed"
function Socket:getsocknames() end

--- The peer's address; the path alone of a Unix socket. Never switches.
---@return string host
---@return integer? port
---@return "inet"|"inet6"|nil family
---@overload fun(self: green.stream): nil, "closed"
---@overload fun(self: green.stream): nil, string
function Socket:getpeername() end

--- Never switches.
---@return "inet4"|"inet6"|"unix"
function Socket:getfamily() end

--- The value of an option; "error" gives nil or the pending error's text. Never
--- switches. Raises for an unknown name.
---@param name green.socket_option|"error"
---@return any
---@overload fun(self: green.stream, name: string): nil, "closed"
---@overload fun(self: green.stream, name: string): nil, string
function Socket:getoption(name) end

--- Never switches. Raises for an unknown name or a value of another type.
---@param name green.socket_option
---@param value any  boolean, number, {on = boolean, timeout = seconds} or text
---@return 1
---@overload fun(self: green.stream, name: string, value: any): nil, "closed"
---@overload fun(self: green.stream, name: string, value: any): nil, string
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
---| "linger"                 {on = boolean, timeout = seconds}; 0: a reset
---| "recv-buffer-size"       bytes
---| "send-buffer-size"       bytes
---| "bindtodevice"           name of an interface
---| "max-line"               bytes of the longest line; 0: no bound

--- Are received bytes waiting in the object's buffer? Never switches.
---@return boolean
function Socket:dirty() end

--- Would a call that reads, or accepts, return at once? green.select waits for
--- it. Never switches.
---@return boolean
function Socket:readable() end

--- Closes it so that the peer sees a reset: nothing that is on its way arrives.
--- Never switches.
---@return 1
function Socket:abort() end

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

--- Sets the figures of getstats; nil leaves one as it is. Never switches.
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
---@overload fun(self: green.stream, host: string, port?: any): nil, "timeout"
---@overload fun(self: green.stream, host: string, port?: any): nil, "closed"
---@overload fun(self: green.stream, host: string, port?: any): nil, string
function Socket:connect(host, port) end

--- The same as connect. Interruptible. May switch.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.stream, host: string, port?: any): nil, "timeout"
---@overload fun(self: green.stream, host: string, port?: any): nil, "closed"
---@overload fun(self: green.stream, host: string, port?: any): nil, string
function Socket:setpeername(host, port) end

--- Gives it an address of its own. Raises once it is connected or listens.
--- Interruptible and may switch to look up a name.
---@param host string  "*": every address; a Unix path
---@param port? integer|string
---@return 1
---@overload fun(self: green.stream, host: string, port?: any): nil, string
function Socket:bind(host, port) end

--- The same as bind. Interruptible and may switch to look up a name.
---@param host string
---@param port? integer|string
---@return 1
---@overload fun(self: green.stream, host: string, port?: any): nil, string
function Socket:setsockname(host, port) end

--- Makes it a listener. Never switches. Raises once it is connected or listens.
---@param backlog? integer  connections that wait to be accepted; 32
---@return 1
---@overload fun(self: green.stream, backlog?: integer): nil, "closed"
---@overload fun(self: green.stream, backlog?: integer): nil, string
function Socket:listen(backlog) end

--- Waits for a connection. Skips connections that broke before they were
--- accepted. Raises when another thread waits for one here. Interruptible. May
--- switch.
---@return green.connection
---@overload fun(self: green.listener): nil, "timeout"
---@overload fun(self: green.listener): nil, "closed"
---@overload fun(self: green.listener): nil, string
function Listener:accept() end

--- Waits for bytes and returns those that came, at most n. A connection that
--- broke is not "closed": "connection reset by peer", "connection timed out".
--- Raises when another thread reads from it, or n is not positive, or memory is
--- short, which loses no byte. Interruptible. May switch.
---@param n integer  bytes; never more than 65536 are returned
---@return string data
---@overload fun(self: green.connection, n: integer): nil, "timeout"
---@overload fun(self: green.connection, n: integer): nil, "closed"
---@overload fun(self: green.connection, n: integer): nil, string
function Connection:recv(n) end

--- Waits for a line without its end ("l"), with it ("L"), for exactly n bytes,
--- or for all until the peer closes ("a"); LuaSocket's "*l" and "*a" mean the
--- same. After a limit, the end, or a break ("connection reset by peer") what
--- came is returned as partial; it stays in the buffer after an interruption,
--- and after "line too long": `max`, else the option "max-line", bounds what a
--- peer can make us keep. Raises when another thread reads from it, when memory
--- is short, which loses no byte, or when there is a `max` but no line.
--- Interruptible. May switch.
---@param pattern? "l"|"L"|"a"|"*l"|"*a"|integer  "l" by default
---@param prefix? string  put before the result; counts towards n
---@param max? integer  bytes of the longest line, without its end; 0: any
---@return string data
---@overload fun(self: green.connection, ...): nil, "timeout", string
---@overload fun(self: green.connection, ...): nil, "closed", string
---@overload fun(self: green.connection, ...): nil, "line too long", string
---@overload fun(self: green.connection, ...): nil, string, string
function Connection:receive(pattern, prefix, max) end

--- Sends data, or its bytes i to j, and returns the index of the last one sent.
--- Several senders take turns, whole sends at a time. A send that is
--- interrupted midway breaks the write side: later sends return "send was cut
--- after n bytes". The third value is the last byte sent. Interruptible. May
--- switch.
---@param data string
---@param i? integer  1 by default
---@param j? integer  -1 by default
---@return integer last
---@overload fun(self: green.connection, ...): nil, "timeout", integer
---@overload fun(self: green.connection, ...): nil, "closed", integer
---@overload fun(self: green.connection, ...): nil, string, integer
function Connection:send(data, i, j) end

--- Waits until n bytes have come, or any, and shows them without taking them.
--- Raises when another thread reads from it. Interruptible. May switch.
---@param n? integer  nil: what there is, at least one byte
---@return string data
---@overload fun(self: green.connection, n?: integer): nil, "timeout", string
---@overload fun(self: green.connection, n?: integer): nil, "closed", string
---@overload fun(self: green.connection, n?: integer): nil, string, string
function Connection:peek(n) end

--- Gives bytes back: they are what is read next. Raises when another thread
--- reads from it. Never switches.
---@param data string
---@return 1
---@overload fun(self: green.connection, data: string): nil, "closed"
function Connection:unread(data) end

--- Sends a descriptor to the process at the other end of a Unix connection,
--- beside some bytes. The sender may close its own afterwards. Raises for other
--- connections. Interruptible. May switch.
---@param fd integer|table|userdata  or an object with getfd(), or a file
---@param data? string  1 to 4096 bytes; one zero byte by default
---@return 1
---@overload fun(self: green.connection, ...): nil, "timeout"
---@overload fun(self: green.connection, ...): nil, "closed"
---@overload fun(self: green.connection, ...): nil, string
function Connection:sendfd(fd, data) end

--- Waits for a descriptor, and the bytes beside it. It is the program's to
--- close: see green.adopt. A call that reads the bytes by other means loses the
--- descriptor; bytes that come without one are left to be read. Raises for
--- connections that are not Unix, or when another thread reads. Interruptible.
--- May switch.
---@return integer fd
---@return string data
---@overload fun(self: green.connection): nil, "timeout"
---@overload fun(self: green.connection): nil, "closed"
---@overload fun(self: green.connection): nil, "no descriptor"
---@overload fun(self: green.connection): nil, "bytes to be read come first"
---@overload fun(self: green.connection): nil, string
function Connection:recvfd() end

--- The process at the other end of a Unix connection, its user and group, as
--- they were when it connected. Raises for other connections. Never switches.
---@return integer pid
---@return integer uid
---@return integer gid
---@overload fun(self: green.connection): nil, "closed"
---@overload fun(self: green.connection): nil, string
function Connection:peercred() end

--- Moves what it receives to another connection, or to a file: green.copy.
--- Interruptible. May switch.
---@param to green.connection|file*
---@param n? number  bytes at most
---@return integer moved
---@overload fun(self: green.connection, ...): nil, "timeout", integer, any
---@overload fun(self: green.connection, ...): nil, "closed", integer, any
---@overload fun(self: green.connection, ...): nil, string, integer, any
function Connection:copy(to, n) end

--- Iterates over the lines, without their ends, until the peer closes. Raises
--- on other failures: "connection reset by peer", "line too long", "timeout"
--- too. The beginning of a line stays in the buffer then. The iterator is
--- interruptible and may switch.
---@return fun(): string?
function Connection:lines() end

--- Iterates over the bytes as they come, until the peer closes. Raises on other
--- failures: "connection reset by peer", "timeout" too. The iterator is
--- interruptible and may switch.
---@param n? integer  most bytes at a time; 65536
---@return fun(): string?
function Connection:chunks(n) end

--- Ends one direction, or both. With TLS the peer is told so, and the other
--- direction goes on. Switches with TLS only, until there is room. Raises for
--- other names. Interruptible. May switch.
---@param how? "receive"|"send"|"both"  "both" by default
---@return 1
---@overload fun(self: green.connection, how?: string): nil, "closed"
---@overload fun(self: green.connection, how?: string): nil, string
function Connection:shutdown(how) end

--- Makes the handshake of TLS, which else the first call makes that needs it.
--- true at once if it is over, or there is no TLS. A server's has a limit of 10
--- seconds unless told otherwise. Interruptible. May switch.
---@return true
---@overload fun(self: green.connection): nil, "timeout"
---@overload fun(self: green.connection): nil, "closed"
---@overload fun(self: green.connection): nil, string
function Connection:handshake() end

--- What TLS makes of the connection; nil without it, and before its handshake.
--- Never switches.
---@return green.tls_info?
function Connection:tls() end

---@class green.StopServe
