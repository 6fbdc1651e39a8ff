--- A server: several listeners, bounds on the connections of peers, and an
--- orderly stop.
---
--- Accepting is green.serve's, one for each listener, over one pool. Here is
--- what a server in the open needs besides: a count for each peer, limits for
--- idle ones and for introductions (a PROXY header, TLS), and a stop that is a
--- latch: begun once, by anyone, and carried out by a thread of its own,
--- however the callers fare.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local core = require "green.core"
local green = require "green"
local hosts = require "green.net.hosts"
local proxy = require "green.net.proxy"
local ipairs, math, pairs, require, setmetatable, table, tostring, type =
  ipairs, math, pairs, require, setmetatable, table, tostring, type

--- Seconds, unless told otherwise. A peer that says nothing, or takes nothing,
--- for a minute is gone or unkind; introductions are a few packets.
local IDLE <const>, HANDSHAKE <const> = 60, 10
--- Looks at all connections in the time of one idle limit.
local LOOKS <const> = 8

--- One connection, as long as its handler runs. It is the guard of that thread.
---@class Entry
---@field server GreenServer
---@field conn userdata
---@field peer table      what the handler is told
---@field thread userdata
---@field since number
---@field moved integer   bytes, at the last look
---@field moved_at number
---@field host? string    under which it counts
---@field stops? boolean  it waits for the server's stop itself
local Entry = {}
Entry.__index = Entry

---@class GreenServer
---@field listeners userdata[]
---@field entries table<Entry, boolean>
---@field count integer  of the entries
---@field peers table<string, integer>  entries by host
---@field stopping boolean
---@field over userdata  event: the report of the stop
local Server = {}
local mt <const> = {__index = Server, __name = "green.server"}

---------------------------------------------------------------- addresses --

local function no_address(value)
  check.misuse("bad option 'listen' in 'server' (%s is no address)",
    type(value) == "string" and ("%q"):format(value) or tostring(value))
end

--- Host and port of "host:port", "[::1]:port", ":port", a port, "unix:/path".
local function address(text)
  if type(text) == "number" then return "*", text end
  if text:find "^unix:" then return text end
  local host, port = text:match "^%[(.-)%]:(%w+)$"
  if not host then host, port = text:match "^([^:]*):(%w+)$" end
  if not host and text:find "^%d+$" then host, port = "*", text end
  if not host then no_address(text) end
  return host ~= "" and host or "*", port
end

--- A listener for one of the items: of ours, or the program's own.
local function open(server, item)
  local kind = type(item)
  if kind == "number" or kind == "string" then
    local host, port = address(item)
    local tls = not server.proxy and server.tls or nil
    return green.listen(host, port, {tls = tls})
  elseif kind == "table" and item.host == nil and item.accept then
    return item
  elseif kind == "userdata" then
    return item
  end
  no_address(item)
end

------------------------------------------------------------- connections --

function Entry:__close()
  local server = self.server
  server.entries[self] = nil
  server.count = server.count - 1
  if self.host then
    local left = server.peers[self.host] - 1
    server.peers[self.host] = left > 0 and left or nil
  end
  if server.changed and not server.changed:ready() then
    server.changed:send()
  end
end

--- A thread that ends past its handlers, below a hook of the program's, leaves
--- its entry behind.
local function sweep(server)
  local cut_short = core.cut_short()
  if cut_short == server.cut_short then return end
  for entry in pairs(server.entries) do
    if entry.thread:has_ended() then entry:__close() end
  end
  server.cut_short = cut_short
end

--- Has this peer fewer connections than it may have? Then it has one more.
function Entry:admit(host)
  local server = self.server
  if not server.per_peer or not host then return true end
  host = hosts.counted(host)
  sweep(server)
  local n = server.peers[host] or 0
  if n >= server.per_peer then
    server.figures.over_peer = server.figures.over_peer + 1
    return false
  end
  server.peers[host] = n + 1 -- may raise where memory is short
  self.host = host
  return true
end

local function enter(server, conn)
  local now = green.now()
  local host, port, family = conn:getpeername()
  local entry = setmetatable({server = server, conn = conn, since = now,
    moved = 0, moved_at = now, thread = green.current()}, Entry)
  entry.peer = {family = family or "unix", host = port and host or nil,
                port = port}
  server.entries[entry] = true
  server.count = server.count + 1
  return entry
end

--- The PROXY header, and what comes behind it. true, or nil and why not.
local function introduce(entry)
  local server = entry.server
  local ok, err = proxy.read(entry.conn, entry.peer, server.proxy)
  if ok and server.tls then
    ok, err = green.wrap_ssl(entry.conn, server.tls)
  end
  return ok, err
end

--- The base of a connection's thread; green.serve closes the connection.
local function attend(server, conn)
  local entry <close> = enter(server, conn)
  local figures = server.figures
  figures.accepted = figures.accepted + 1
  if server.stopping then return end
  if server.proxy then
    local ok, err = green.with_timeout(server.handshake, introduce, entry)
    if not ok then
      figures.not_introduced = figures.not_introduced + 1
      entry.failure = err
      return conn:abort()
    end
  end
  if not entry:admit(entry.peer.host) then return conn:abort() end
  server.handler(conn, entry.peer)
end

--- Closes connections on which nothing has moved for too long while their
--- handlers wait for them. A handler that is at work elsewhere keeps its own.
local function watch(server)
  while not server.stopping do
    green.sleep(server.idle / LOOKS)
    local now = green.now()
    for entry in pairs(server.entries) do
      local moved, waits = core.progress(entry.conn)
      if moved ~= entry.moved or not waits then
        entry.moved, entry.moved_at = moved, now
      elseif now - entry.moved_at >= server.idle then
        server.figures.idle = server.figures.idle + 1
        entry.conn:close()
      end
    end
  end
end

------------------------------------------------------------------- start --

local function accepts(server, listener)
  local ok, err = green.serve(listener, function(conn)
    attend(server, conn)
  end, server.pool)
  -- Somebody closed it, a handler raised StopServe, or it broke.
  if not ok then server.failure = server.failure or err end
  server:begin_stop {}
end

local function close_all(listeners)
  for _, listener in ipairs(listeners) do listener:close() end
end

--- Opens all listeners, or none, and accepts from now on. Interruptible. May
--- switch to look up names.
---@return true? ok
---@return string? err  "address already in use", ...
function Server:start()
  check.self(self, mt, "start")
  if self.started or self.stopping then
    check.misuse "'start': the server was started or stopped before"
  end
  if self.tls then
    local context, err =
      require "green.net.tls".server_context(self.tls, "server")
    if not context then return nil, err end
    self.tls = context
  end
  local listeners = {}
  for i, item in ipairs(self.listen) do
    local listener, err = open(self, item)
    if not listener then
      close_all(listeners)
      return nil, err
    end
    listeners[i] = listener
  end
  self.started, self.listeners = true, listeners
  for _, listener in ipairs(listeners) do
    green.spawn_n(accepts, self, listener)
  end
  if self.idle < math.huge then
    self.watcher = green.spawn(watch, self)
  end
  return true
end

-------------------------------------------------------------------- stop --

--- Waits until no connection is left but those that wait for the stop, or
--- until the deadline that the field has by then.
local function wait_until(server, field)
  while true do
    local left = false
    sweep(server)
    for entry in pairs(server.entries) do left = left or not entry.stops end
    if not left then return end
    local s = server[field] - green.now()
    if s <= 0 then return end
    server.changed = green.event()
    server.changed:wait(s)
  end
end

--- A line of the report.
local function described(entry)
  local blocked = entry.thread:blocked()
  return {peer = entry.peer, seconds = green.now() - entry.since,
          what = blocked and blocked.what, where = blocked and blocked.where}
end

--- The stop, in a thread of its own, which nobody kills but the end of the
--- program.
local function carry_out(server)
  local report = {forced = {}, left = {}}
  close_all(server.listeners or {})
  if server.watcher then server.watcher:kill() end
  wait_until(server, "grace_ends")
  for entry in pairs(server.entries) do
    if not entry.stops then
      report.forced[#report.forced + 1] = described(entry)
      entry.thread:kill "the server stops"
    end
  end
  server.force_ends = math.min(server.force_ends, green.now() + server.force)
  wait_until(server, "force_ends")
  for entry in pairs(server.entries) do
    if not entry.stops then
      report.left[#report.left + 1] = described(entry)
      entry.conn:abort()
    end
  end
  for name, n in pairs(server.figures) do report[name] = n end
  server.over:send(report)
end

--- Begins the stop, or makes one that is under way end sooner.
local function begin_stop(self, opts)
  local now = green.now()
  local grace = opts.grace or green.config().grace
  self.force = math.min(self.force or math.huge,
    opts.force or green.config().grace)
  self.grace_ends = math.min(self.grace_ends or math.huge, now + grace)
  if not self.stopping then
    self.stopping, self.force_ends = true, math.huge
    green.spawn_n(carry_out, self)
  elseif self.changed and not self.changed:ready() then
    self.changed:send()
  end
end

--- Closes the listeners, gives the handlers `grace` seconds to end, kills those
--- that have not, and after `force` more resets the connections that are left.
--- Each is 5 (the option `grace` of green.config) by default. A second caller
--- waits for the same stop, and can make it shorter. Returns the report.
--- Interruptible; the stop goes on. May switch.
---@param opts? {grace: number, force: number}
---@return table report
function Server:stop(opts)
  check.self(self, mt, "stop")
  opts = check.options(opts, {grace = "seconds", force = "seconds"}, 2, "stop")
  local me = green.current()
  for entry in pairs(self.entries) do
    if entry.thread == me then entry.stops = true end
  end
  begin_stop(self, opts)
  return self.over:wait()
end

--- Waits until the server has stopped. Interruptible. May switch.
---@param s? number
---@return true? ok
---@return string? err  "timeout"; or why a listener broke
function Server:wait(s)
  check.self(self, mt, "wait")
  local report, err = self.over:wait(check.limit(s, 1, "wait"))
  if not report then return nil, err end
  if self.failure then return nil, self.failure end
  return true
end

--- Where it listens: each listener's host, or path, and port. Never switches.
---@return {host: string, port: integer?}[]
function Server:addresses()
  check.self(self, mt, "addresses")
  local list = {}
  for i, listener in ipairs(self.listeners or {}) do
    local host, port = listener:getsockname()
    list[i] = {host = host, port = host and port or nil}
  end
  return list
end

--- Figures so far. Never switches.
---@return table
function Server:stats()
  check.self(self, mt, "stats")
  sweep(self)
  local stats = {connections = self.count}
  for name, n in pairs(self.figures) do stats[name] = n end
  return stats
end

--- Leaving its block stops it, at once if it is left by an error.
function mt.__close(server, err)
  if not server.started then return end
  local _ <close> = core.shield_begin(math.huge)
  server:stop(err ~= nil and {grace = 0} or nil)
end

------------------------------------------------------------------ making --

local known <const> = {
  listen = "table", handler = "function", n = "number", per_peer = "number",
  idle = "seconds", handshake = "seconds", tls = "any", proxy = "any",
}

--- A number of seconds that is some time.
local function span(opts, name, other)
  local s = opts[name] or other
  if not (s > 0) then
    check.misuse("bad option '%s' in 'server' (more than 0 expected)", name)
  end
  return s
end

local function at_least_one(opts, name)
  local n = opts[name]
  if n and n < 1 then
    check.misuse("bad option '%s' in 'server' (at least 1 expected)", name)
  end
  return n
end

--- A server. `listen` has a line for each address: a port, "host:port",
--- "unix:/path", or a listener of the program's own, which it closes in the
--- end, too. handler(conn, peer) runs for each connection in a green thread of
--- its own; peer tells host, port and family.
--- `n` bounds the connections in all: more wait. `per_peer` bounds those of one
--- address (of IPv6, one /64): more are reset. `idle`, 60 seconds, is how long
--- nothing may move on a connection that its handler waits for; `handshake`,
--- 10, how long a peer may take to introduce itself; math.huge turns them off.
--- `tls`, for addresses that it opens: as for green.listen. `proxy`: each
--- connection begins with a PROXY header, of version 1 or 2, whose address the
--- handler is told; true, or a list of the hosts that may. Never switches.
---@param opts table
---@return GreenServer
return function(opts)
  check.value(opts, "table", 1, "server")
  if type(opts.listen) ~= "table" and opts.listen ~= nil then
    local copy = {}
    for name, value in pairs(opts) do copy[name] = value end
    copy.listen = {opts.listen}
    opts = copy
  end
  check.options(opts, known, 1, "server")
  if opts.handler == nil then
    check.misuse("option 'handler' is missing in 'server'")
  elseif not check.is_callable(opts.handler) then
    check.misuse("bad option 'handler' in 'server' (function expected, got %s)",
      type(opts.handler))
  end
  if not opts.listen or #opts.listen == 0 then
    check.misuse("bad option 'listen' in 'server' (a list of addresses"
      .. " expected)")
  end
  for _, item in ipairs(opts.listen) do
    if type(item) == "string" then address(item) end
  end
  return setmetatable({
    listen = table.move(opts.listen, 1, #opts.listen, 1, {}),
    handler = opts.handler, pool = green.pool(at_least_one(opts, "n")
      or math.huge), per_peer = at_least_one(opts, "per_peer"),
    idle = span(opts, "idle", IDLE),
    handshake = span(opts, "handshake", HANDSHAKE),
    tls = opts.tls, proxy = proxy.trusted(opts.proxy),
    entries = {}, peers = {}, count = 0, cut_short = core.cut_short(),
    stopping = false,
    over = green.event(), begin_stop = begin_stop,
    figures = {accepted = 0, idle = 0, not_introduced = 0, over_peer = 0},
  }, mt)
end
