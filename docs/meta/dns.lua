---@meta
-- Look-ups: green.dns is loaded on first use; `local dns = require "green.dns"`
-- gives the same table.
--
-- Every call that takes a name (connect, listen, bind and their kin) looks it
-- up as these functions do, while others run. Numbers are answered at once.
-- Names wait for one another, eight at a time, but not for those that nobody
-- waits for any more; equal ones share one run, and what this machine knows by
-- itself, such as the hosts file, waits behind no server. Answers are kept for
-- a few seconds (`dns_ttl`, `dns_negative_ttl` and `dns_cache` of
-- green.config): getaddrinfo(3) does not tell for how long they hold. That no
-- server could tell is not kept.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field dns green.dns
local green = {}

---@class green.dns
local Dns = {}

--- The addresses of a name, as numbers, in the order in which they are to be
--- tried; a number stands for itself. Errors are "timeout", "host or service
--- not provided, or not known", "temporary failure in name resolution" and
--- others of getaddrinfo(3). With a limit of 0 or less it answers only if no
--- look-up is needed. Interruptible. May switch. Raises what the program's
--- resolver raises.
---@param name string
---@param opts? number|{timeout?: number, family?: "inet"|"inet4"|"inet6"}  a
--- limit in seconds, or options
---@return string[]
---@overload fun(name: string, opts?: any): nil, "timeout"
---@overload fun(name: string, opts?: any): nil, string
function Dns.resolve(name, opts) end

--- getaddrinfo(3). Each table has the fields family ("inet", "inet6"), addr (a
--- number), port, type ("stream", "dgram", "raw") and, with the option
--- canonname, in the first one canonname. Interruptible. May switch. Raises for
--- unknown options and for a port that there cannot be.
---@param host? string  nil: this machine, or with `passive` all addresses
---@param service? string|integer  a port, or the name of a service
---@param opts? number|table  a limit in seconds, or options: timeout, family,
--- type ("stream", the default, "dgram" or "any"), numeric (a name is an
--- error), passive, canonname
---@return {family: string, addr: string, port: integer, type: string}[]
---@overload fun(host?: string, service?: any, opts?: any): nil, "timeout"
---@overload fun(host?: string, service?: any, opts?: any): nil, string
function Dns.getaddrinfo(host, service, opts) end

--- getnameinfo(3): the name of an address and that of a port, or the numbers
--- again where they have none. The system is asked, also where the program has
--- a resolver. Interruptible. May switch. Raises for unknown options and for a
--- port that there cannot be.
---@param address? string  a number
---@param port? string|integer
---@param opts? number|table  a limit in seconds, or options: timeout, numeric
--- (no look-up), required (no name is an error), dgram (services of datagrams)
---@return string? host     nil without an address
---@return string? service  nil without a port
---@overload fun(address?: string, port?: any, opts?: any): nil, "timeout"
---@overload fun(address?: string, port?: any, opts?: any): nil, string
function Dns.getnameinfo(address, port, opts) end

--- Has every call that takes a name ask f(name, family) for it: family is
--- "inet", "inet6" or nil. f returns a list of addresses, numbers or tables
--- with a field addr that is one, and for how many seconds it may be kept if
--- that is not dns_ttl; or nil, an error, and the same. IPv6 addresses are
--- tried first, apart from that in its order; a family that was not asked for
--- is dropped.
---
--- f runs in a green thread, one for all that wait for the same; when none
--- waits any more it is killed. What it looks up itself, in its thread or in
--- those that it spawns, is asked of the system. An error that it raises, and
--- an answer that is no list of addresses, is raised in each call that waits
--- for it, or goes to green.on_error if none does any more; if its thread is
--- killed they return "temporary failure in name resolution". Answers that are
--- kept are forgotten.
---
--- nil, or what use() returned at first, is the system's resolver. Never
--- switches. Raises if f cannot be called.
---@param f? fun(name: string, family?: string): table?, any, any
---@return function former  may be called, or put back
function Dns.use(f) end

--- Asks the system, whatever the program's resolver: the addresses.
--- Interruptible. May switch.
---@param name string
---@param family? "inet"|"inet4"|"inet6"
---@param s? number  time limit in seconds
---@return string[]
---@overload fun(name: string, family?: string, s?: number): nil, "timeout"
---@overload fun(name: string, family?: string, s?: number): nil, string
function Dns.system(name, family, s) end

--- Forgets all answers that are kept. Never switches.
function Dns.flush() end

return Dns
