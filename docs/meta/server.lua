---@meta
-- Servers: several listeners, bounds for peers, and an end in order.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.server_options
---@field listen table|string|integer  addresses: a port, "host:port",
--- "unix:/path", or a listener, which the server closes in the end
---@field handler fun(conn: green.connection, peer: green.peer)
---@field n? integer  connections in all; more wait; no bound
---@field per_peer? integer  connections of one host, of IPv6 of one /64; more
--- are reset; no bound
---@field idle? number  seconds that nothing may move on a connection which its
--- handler waits for; 60; math.huge: no limit
---@field handshake? number  seconds for a PROXY header, and TLS behind it; 10
---@field tls? table  as for green.listen, for addresses that it opens
---@field proxy? boolean|string[]  each connection begins with a PROXY header:
--- true, or the addresses of those who may send one; "unix" for Unix sockets

--- Whom a handler talks to.
---@class green.peer
---@field host? string  nil: a Unix connection
---@field port? integer
---@field family "inet"|"inet6"|"unix"
---@field via? string  the proxy, where there was a PROXY header
---@field via_port? integer
---@field to_host? string  the address that the peer connected to
---@field to_port? integer
---@field additions? table<integer, string>  further values of the header, by
--- type

--- A server, which is still to be started. Its handler runs for each
--- connection in a green thread of its own; the connection is closed when that
--- ends; its error goes to green.on_error. A lack of descriptors or threads is
--- waited out. An idle connection is closed under its handler, which reads
--- "closed". Loaded on first use. Never switches. Raises for bad options.
---@param opts green.server_options
---@return green.server
function green.server(opts) end

--- A server. Leaving its block (<close>) stops it, without grace if it is left
--- by an error.
---@class green.server
local Server = {}

--- Opens all listeners, or none, and serves from now on. Interruptible. May
--- switch to look up names. Raises when it was started before.
---@return true
---@overload fun(self: green.server): nil, string
function Server:start() end

---@class green.stop_options
---@field grace? number  seconds for the handlers to end; that of green.config
---@field force? number  seconds for those that are killed then; the same

---@class green.stop_report
---@field forced green.stop_line[]  connections whose handlers were killed
---@field left green.stop_line[]  those that went on all the same: reset
---@field accepted integer
---@field idle integer  closed because nothing moved
---@field not_introduced integer  without a good PROXY header
---@field over_peer integer  reset because their host had enough of them

---@class green.stop_line
---@field peer green.peer
---@field seconds number  age of the connection
---@field what? string  what its handler waited for, and where
---@field where? string

--- Closes the listeners, lets the handlers end, then kills those that have
--- not, then resets the connections that are left. It happens once: a call that
--- comes later, from anywhere, waits for the same end and returns the same
--- report, and may make it come sooner. A handler that calls it is not waited
--- for.
--- Interruptible; the stop goes on. May switch.
---@param opts? green.stop_options
---@return green.stop_report
function Server:stop(opts) end

--- Waits until it has stopped: by stop, because its listeners were closed, or
--- by a handler that raised green.StopServe. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.server, s?: number): nil, "timeout"
---@overload fun(self: green.server, s?: number): nil, string
function Server:wait(s) end

--- Where it listens. Never switches.
---@return {host: string, port: integer?}[]
function Server:addresses() end

---@class green.server_stats
---@field connections integer  now
---@field accepted integer  so far; also the next
---@field idle integer
---@field not_introduced integer
---@field over_peer integer

--- Figures so far. Never switches.
---@return green.server_stats
function Server:stats() end
