--- Datagrams: UDP and Unix sockets, and servers for them.
---
--- The objects are made in C; here is what is policy: which address stands
--- for all, how a server hands datagrams to threads of their own, and when it
--- waits.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local net = require "green.net.net"
local handlers = require "green.net.handlers"
local error, ipairs, pairs, setmetatable =
  error, ipairs, pairs, setmetatable

local methods = {}

--- Iterates over the datagrams, each with its sender, until the socket is
--- closed. Raises on other failures. The iterator is interruptible and may
--- switch.
---@param n? integer  most bytes of each
---@return fun(): string?, string?, integer?
function methods.datagrams(sock, n)
  return function()
    local data, host, port, cut, size = sock:receivefrom(n)
    if not data and host ~= "closed" then error(host, 2) end
    if data then return data, host, port, cut, size end
  end
end

for _, class in ipairs(core.open_datagrams()) do
  for name, method in pairs(methods) do class[name] = method end
end

------------------------------------------------------------------ making --

local options = {family = "family", reuseaddr = "boolean",
                 reuseport = "boolean", broadcast = "boolean"}

--- sock, or nil and the error after closing it.
local function finish(sock, ok, err)
  if ok then return sock end
  sock:close()
  return nil, err
end

--- A socket with these options, or nil and why not.
local function new(family, opts)
  local sock, err = core.udp(family)
  if not sock then return nil, err end
  for _, name in ipairs {"broadcast", "reuseaddr", "reuseport"} do
    if opts[name] ~= nil then
      local ok
      ok, err = sock:setoption(name, opts[name])
      if not ok then return finish(sock, nil, err) end
    end
  end
  return sock
end

local function bound(family, host, port, opts)
  local sock, err = new(family, opts)
  if not sock then return nil, err end
  return finish(sock, sock:setsockname(host, port))
end

--- Every address of both families, where there are both.
local function bound_to_all(port, opts)
  local sock = new("inet6", opts)
  if sock then
    local ok, err = sock:setoption("ipv6-v6only", false)
    if ok then ok, err = sock:setsockname("::", port) end
    if ok or err == "address already in use" or err == "permission denied" then
      return finish(sock, ok, err)
    end
    sock:close()
  end
  return bound("inet", "0.0.0.0", port, opts)
end

--- A socket for datagrams. With a host and a port it has that address: nil or
--- "*" is every one, of IPv6 and IPv4, port 0 a free one. Without both it takes
--- the family of the first peer it is told. "unix:/path" is a Unix socket of
--- that name, whose file is replaced and removed as a listener's is (see
--- green.listen); "unix:" is one without a name. Interruptible. May switch to
--- look up a name.
---@param host? string
---@param port? integer|string
---@param opts? {family: "inet"|"inet6", reuseaddr: boolean,
--- reuseport: boolean, broadcast: boolean}
---@return userdata? sock
---@return string? err
function green.udp(host, port, opts)
  if host ~= nil then check.value(host, "string", 1, "udp") end
  local path = host and net.unix_path(host)
  if not path and (host or port) then
    port = net.check_port(port, 2, "udp")
  end
  opts = check.options(opts, options, 3, "udp")
  core.checkpoint()
  if path then
    local sock, err = core.unix_datagram()
    if not sock or path == "" then return sock, err end
    return finish(sock, core.bind_file(sock, path))
  end
  if not host and not port then return new(opts.family, opts) end
  if opts.family or host and host ~= "*" then
    return bound(opts.family, host or "*", port, opts)
  end
  return bound_to_all(port, opts)
end

----------------------------------------------------------------- serving --

--- One udp_server(): what its handlers share with it. It is the guard of each
--- of their threads, and closed when that ends.
---@class DatagramServer: Handlers
---@field sock userdata
---@field spawn function
local Server = handlers.class("udp_server", "receive")
Server.__close = handlers.ended

function Server:halt() core.stop_receive(self.sock) end

--- The base of each handler's thread. Nothing here catches the error, so its
--- traceback shows where it was raised.
local function handle(guard, data, host, port)
  local server <close> = guard
  server.handler(server.sock, data, host, port)
end

--- Hands the datagram to a thread of its own.
function Server:start(data, host, port)
  while core.crowded() do self:back_off("too many green threads") end
  self:recover()
  self.spawn(handle, self, data, host, port)
end

function Server:run()
  while true do
    self:wait_room()
    if self.stopped then return true end
    local data, host, port = self.sock:receivefrom()
    if data then
      self:start(data, host, port)
    elseif host == "closed" or self.stopped then
      return true
    elseif handlers.scarce[host] then
      self:back_off(host)
    -- A peer that is gone says so once; the others are there.
    elseif host ~= "timeout" and host ~= "connection refused" then
      return nil, host
    end
  end
end

local function check_server(sock, handler, limit)
  if not check.has(sock, "receivefrom") then
    check.wrong(1, "udp_server", "datagram socket", sock)
  end
  check.callable(handler, 2, "udp_server")
  check.handlers(limit, 3, "udp_server")
end

--- Receives datagrams until the socket is closed, by anyone, or a handler
--- raises green.StopServe, and runs handler(sock, data, host, port) for each in
--- a green thread of its own. A handler's error goes to green.on_error.
--- Handlers in flight go on after the end. Interruptible; the socket stays open
--- then. May switch.
---@param sock userdata
---@param handler fun(sock: userdata, data: string, host: string, port: integer)
---@param limit? number|table  most handlers at once (datagrams wait in the
--- kernel, which drops what it has no room for), or a pool to run them
---@return true? ok
---@return string? err
function green.udp_server(sock, handler, limit)
  check_server(sock, handler, limit)
  local server = handlers.new(Server, {sock = sock, handler = handler}, limit)
  local pool = server.pool or server.crew
  server.spawn = pool and function(...) pool:spawn_n(...) end or green.spawn_n
  local _ <close> = setmetatable({}, {__close = function()
    server.over = true
  end})
  return server:run()
end
