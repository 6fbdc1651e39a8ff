--- Names to addresses and back, and the program's own resolver.
---
--- Every call that takes a name looks it up, in C. If the program has a
--- resolver, C calls ask() below instead. It does for a Lua function what the
--- core does for the system's resolver: equal questions share one run, a green
--- thread of its own that ends when nobody waits for it any more, and answers
--- are kept for a while.
---
--- A resolver may itself use names: look-ups in its thread, and in threads that
--- it spawns, go to the system.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local flights = require "green.crew.single_flight"
local error, ipairs, math, tonumber, type =
  error, ipairs, math, tonumber, type

local resolve <const> = core.resolve
local UNKNOWN <const> = "host or service not provided, or not known"
local AGAIN <const> = "temporary failure in name resolution"

local dns = {}

--------------------------------------------------------- what was answered --

--- Answers of the resolver, by question. When `young` holds half of the answers
--- that may be kept it replaces `old`, whose answers are forgotten.
local young, old, count = {}, {}, 0

local function forget()
  young, old, count = {}, {}, 0
end

local function keep(key, answer, ttl)
  local most, found_ttl, unknown_ttl = core.lookup_cache()
  if not ttl and answer.list then
    ttl = found_ttl
  elseif not ttl then
    ttl = answer.err == UNKNOWN and unknown_ttl or 0
  end
  if most < 1 or ttl <= 0 then return end
  if count >= most / 2 then young, old, count = {}, young, 0 end
  answer.expires = green.now() + ttl
  young[key], count = answer, count + 1
end

local function kept(key)
  local answer = young[key] or old[key]
  if answer and answer.expires > green.now() then return answer end
end

----------------------------------------------------------- asking the system --

--- Asks the system's resolver, even if the program has one: a list of
--- addresses. Interruptible. May switch.
---@param name string
---@param family? "inet"|"inet6"
---@param s? number  time limit in seconds
---@return string[]?
---@return string? err
function dns.system(name, family, s)
  check.value(name, "string", 1, "system")
  if family ~= nil then check.value(family, "family", 2, "system") end
  return resolve("system", name, family, check.limit(s, 3, "system"), "s")
end

----------------------------------------------------- the program's resolver --

local inside = green.locals(true)
local resolver     -- the program's, or nil
local runs = {}    -- under way: see crew/single_flight.lua

--- The address in the system's spelling, and its family; nil if that is not the
--- wanted one. Raises if the text is not an address.
local function read_address(value, name, family)
  if type(value) == "table" then value = value.addr end
  local entry = type(value) == "string" and core.getaddrinfo("resolver", value,
    nil, nil, "stream", 0, "n")
  if not entry then
    error(("the resolver's answer for %s holds %s, which is no address")
      :format(name, check.shown(value)), 0)
  end
  entry = entry[1]
  if family and entry.family ~= family then return end
  return entry.addr, entry.family
end

--- IPv6 goes before IPv4; apart from that the order is the resolver's.
local function read_addresses(values, name, family)
  local list, ipv4 = {}, {}
  for _, value in ipairs(values) do
    local address, is = read_address(value, name, family)
    local to = is == "inet" and ipv4 or list
    to[#to + 1] = address
  end
  for _, address in ipairs(ipv4) do list[#list + 1] = address end
  return list
end

local function read_answer(name, family, values, err, ttl)
  if type(values) == "table" then
    local list = read_addresses(values, name, family)
    if list[1] then return {list = list}, tonumber(err) end
    return {err = UNKNOWN}, tonumber(err)
  elseif values then
    error(("the resolver's answer for %s is a %s, and no list of addresses")
      :format(name, type(values)), 0)
  end
  return {err = type(err) == "string" and err or UNKNOWN}, tonumber(ttl)
end

--- The thread of a question: asks f, which may have been replaced meanwhile.
local function run(f, key, name, family)
  inside.resolver = true
  local answer, ttl = read_answer(name, family, f(name, family))
  if f == resolver then keep(key, answer, ttl) end
  return answer
end

--- Each waiting call raises an error of the resolver. If its thread was killed,
--- the outcome is unknown.
local function result(thread, ok, answer)
  if ok then return answer.list, answer.err end
  if ok == nil then return nil, answer end
  if thread:status() == "killed" then return nil, AGAIN end
  error(answer, 0)
end

--- C calls this for every name: a list of addresses, or nil and the reason.
local function ask(name, family, s)
  if inside.resolver then return resolve("resolver", name, family, s, "s") end
  local key = (family or "") .. " " .. name
  local answer = kept(key)
  if answer then return answer.list, answer.err end
  if s and s <= 0 then return nil, "timeout" end
  local seat <close> = flights.take_seat(runs, name, family)
  local thread, is_new = flights.thread(seat, run, resolver, key, name, family)
  if is_new then thread.name = "resolver: " .. name end
  return result(thread, thread:join(s))
end

--- From now on every call that takes a name asks f(name, family), in a green
--- thread: family is "inet", "inet6" or nil, and f returns a list of addresses
--- and perhaps for how many seconds they may be kept, or nil, an error and
--- perhaps the same. Nil is the system's resolver. Returns the former one.
--- Never switches.
---@param f? fun(name: string, family?: string): table?, any, number?
---@return function
function dns.use(f)
  if f ~= nil then check.callable(f, 1, "use") end
  local former = resolver or dns.system
  resolver = f ~= dns.system and f or nil
  runs = {}
  dns.flush()
  core.set_resolver(resolver, ask)
  return former
end

--- Forgets all answers that are kept. Never switches.
function dns.flush()
  forget()
  core.forget_lookups()
end

------------------------------------------------------------------ look-ups --

--- A limit in seconds, or a table of options with that limit.
local function check_options(opts, known, n, what)
  if type(opts) == "table" then return check.options(opts, known, n, what) end
  return {timeout = check.limit(opts, n, what)}
end

local resolve_options = {timeout = "number", family = "family"}

--- The addresses of a name, in the order to try them. A numeric address stands
--- for itself. Interruptible. May switch.
---@param name string
---@param opts? number|{timeout: number, family: "inet"|"inet6"}
---@return string[]?
---@return string? err  "timeout", "host or service not provided, or not known",
--- ...
function dns.resolve(name, opts)
  check.value(name, "string", 1, "resolve")
  opts = check_options(opts, resolve_options, 2, "resolve")
  return resolve("resolve", name, opts.family, opts.timeout)
end

--- A port as a text, for C; nil stays nil.
local function check_service(service, n, what)
  if service == nil or type(service) == "string" then return service end
  local number = math.tointeger(service)
  if not number then
    check.bad(n, what, "port or service expected, got %s",
      check.shown(service))
  end
  if number < 0 or number > 65535 then
    check.bad(n, what, "port out of range")
  end
  return ("%d"):format(number)
end

local function check_host(host, n, what)
  if host ~= nil then check.value(host, "string", n, what) end
  return host
end

local types <const> = {stream = "stream", dgram = "dgram", any = "any"}
local addrinfo_options = {timeout = "number", family = "family",
  type = "string", numeric = "boolean", passive = "boolean",
  canonname = "boolean"}

--- getaddrinfo(3): a list of tables with the fields family ("inet", "inet6"),
--- addr, port, type ("stream", "dgram", "raw") and, where it was asked for,
--- canonname. Interruptible. May switch.
---@param host? string    nil: this machine, or with passive all addresses
---@param service? string|integer  a port, or a service by name
---@param opts? number|table  timeout, family, type ("stream", "dgram", "any"),
--- numeric (a name is an error), passive, canonname
---@return table[]?
---@return string? err
function dns.getaddrinfo(host, service, opts)
  host = check_host(host, 1, "getaddrinfo")
  service = check_service(service, 2, "getaddrinfo")
  opts = check_options(opts, addrinfo_options, 3, "getaddrinfo")
  local kind = types[opts.type or "stream"]
  if not kind then
    check.bad(3, "getaddrinfo", "unknown type '%s'", opts.type)
  end
  return core.getaddrinfo("getaddrinfo", host, service, opts.family, kind,
    opts.timeout, (opts.numeric and "n" or "") .. (opts.passive and "p" or "")
    .. (opts.canonname and "c" or ""))
end

local nameinfo_options = {timeout = "number", numeric = "boolean",
  required = "boolean", dgram = "boolean"}

--- getnameinfo(3): the name of an address and that of a port, or the number
--- again where there is none. Interruptible. May switch.
---@param address? string
---@param port? string|integer
---@param opts? number|table  timeout, numeric (numbers again), required (no
--- name is an error), dgram (the service is one of datagrams)
---@return string? host     nil if there was no address
---@return string? service  nil if there was no port; or an error
function dns.getnameinfo(address, port, opts)
  address = check_host(address, 1, "getnameinfo")
  port = check_service(port, 2, "getnameinfo")
  opts = check_options(opts, nameinfo_options, 3, "getnameinfo")
  return core.getnameinfo(address, port, opts.timeout,
    (opts.numeric and "n" or "") .. (opts.required and "r" or "")
    .. (opts.dgram and "d" or ""))
end

return dns
