--- TCP and Unix sockets: connecting, listening, serving.
---
--- The socket objects are made in C and have LuaSocket's methods. Policy is
--- here: options, the wildcard address, the errors of a server's handlers, and
--- servers without descriptors.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local errors = require "green.runtime.errors"
local policy = require "green.runtime.policy"
local report = require "green.runtime.report"
local extend = require "green.net.streams"
local handlers = require "green.net.handlers"
local ipairs, math, next, pairs, require, select, setmetatable, tonumber, type =
  ipairs, math, next, pairs, require, select, setmetatable, tonumber, type
--- Room for a burst of clients while the server is busy; the kernel cuts the
--- number to net.core.somaxconn.
local BACKLOG <const> = 1024
local scarce <const> = handlers.scarce

extend(core.open_streams())

--- A number, also as digits, or the name of a service, which has a letter. An
--- empty string, as of an environment variable that is not set, is no port.
local function check_port(port, n, what)
  local is_name = type(port) == "string" and port:find("^%g*%a%g*$")
  if is_name then return port end
  local is_number = type(port) == "number" or
    type(port) == "string" and port:find("^%d+$")
  local number = is_number and math.tointeger(tonumber(port))
  if not number then
    check.bad(n, what, "port expected, got %s", check.shown(port))
  end
  if number < 0 or number > 65535 then
    check.bad(n, what, "port out of range")
  end
  return number
end

function policy.use_resolver(f)
  green.dns.use(f or nil)
end

--- The path of "unix:/path". "unix:@name" is an abstract name, which begins
--- with a zero byte and has no file.
local function unix_path(host)
  local path = host:match "^unix:(.*)$"
  return path and path:gsub("^@", "\0")
end

--- sock, or nil and the error after closing it.
local function finish(sock, ok, err)
  if ok then return sock end
  sock:close()
  return nil, err
end

--------------------------------------------------------------- connect --

local connect_options = {timeout = "number", family = "family",
                         bind = "string", nodelay = "boolean", tls = "tls"}

--- Loaded on first use.
local function tls() return require "green.net.tls" end

--- The handshake of a connection that has just been made; sock, or nil and the
--- error after closing it. An interruption closes the socket, too.
local function secure(sock, host, params, seconds)
  local _ <close> = setmetatable({}, {__close = function(_, err)
    if err ~= nil then sock:close() end
  end})
  sock:settimeout(seconds, "t")
  local ok, err = tls().start(sock, params, host, "connect")
  sock:settimeout(nil, "t")
  return finish(sock, ok, err)
end

--- How long it may still take.
local function rest(opts, began)
  return opts.timeout and math.max(opts.timeout - (green.now() - began), 0)
end

--- The first address of each family that `bind` names, and the rest of the
--- limit then; or nil and the reason.
local function addresses_from(opts)
  local began = green.now()
  local entries, err = core.getaddrinfo("connect", opts.bind, nil, opts.family,
    "stream", opts.timeout)
  if not entries then return nil, err end
  local first, list = {}, {}
  for _, entry in ipairs(entries) do
    if not first[entry.family] then
      first[entry.family] = true
      list[#list + 1] = entry.addr
    end
  end
  return list, opts.timeout and opts.timeout - (green.now() - began),
    not list[2] and entries[1].family or nil
end

local function connect_tcp(host, port, opts)
  local family, timeout, from = opts.family, opts.timeout, {}
  if opts.bind then
    local list, left, only = addresses_from(opts)
    if not list then return nil, left end
    from, timeout, family = list, left, family or only
  end
  local sock = core.tcp()
  sock:settimeout(timeout and math.max(timeout, 0), "t")
  local ok, err = core.connect_from(sock, host, port, family, from[1], from[2])
  if ok and opts.nodelay ~= false then sock:setoption("tcp-nodelay", true) end
  sock:settimeout(nil, "t")
  return finish(sock, ok, err)
end

local function connect_unix(path, opts)
  local sock = core.unix()
  sock:settimeout(opts.timeout and math.max(opts.timeout, 0), "t")
  local ok, err = sock:connect(path)
  sock:settimeout(nil, "t")
  return finish(sock, ok, err)
end

--- Connects to a TCP server, or to a Unix one: "unix:/path" without a port.
--- Of several addresses the first to answer wins; `timeout` (seconds) covers
--- all of it, the look-up and a handshake included. `tls` is true, or
--- parameters, see green.tls: the server's certificate must be good, and have
--- the name `host`. Interruptible. May switch.
---@param host string
---@param port? integer|string
---@param opts? {timeout: number, family: "inet"|"inet6", bind: string,
--- nodelay: boolean, tls: true|table}  bind: the address to connect from
---@return userdata? sock  a connected socket; nothing is sent late (nodelay)
---@return string? err     "connection refused", "timeout", ...
function green.connect(host, port, opts)
  check.value(host, "string", 1, "connect")
  local path = unix_path(host)
  if not path then port = check_port(port, 2, "connect") end
  opts = check.options(opts, connect_options, 3, "connect")
  local params = opts.tls and tls().check(opts.tls, 3, "connect")
  local began = params and opts.timeout and green.now()
  local sock, err
  if path then
    sock, err = connect_unix(path, opts)
  else
    sock, err = connect_tcp(host, port, opts)
  end
  if not sock or not params then return sock, err end
  return secure(sock, not path and host or nil, params, rest(opts, began))
end

---------------------------------------------------------------- listen --

local listen_options = {backlog = "integer", reuseport = "boolean",
                        mode = "mode", family = "family", v6only = "boolean",
                        tls = "tls"}

--- How often a free port is looked for that is free at each address.
local TRIES <const> = 32
local IN_USE <const> = "address already in use"

--- This machine has no such address: others of the same name may do.
local absent = {
  ["Cannot assign requested address"] = true,
  ["Address family not supported by protocol"] = true,
}

--- A socket that listens there, or nil and why not. "::" is IPv4's addresses,
--- too, unless it is said otherwise.
local function listener_at(family, addr, port, opts)
  local sock, err = core.tcp(family)
  if not sock then return nil, err end
  local ok
  ok, err = sock:setoption("reuseaddr", true)
  if ok and family == "inet6" then
    local only = opts.v6only
    if only == nil then only = addr ~= "::" end
    ok, err = sock:setoption("ipv6-v6only", only)
  end
  if ok and opts.reuseport then
    ok, err = sock:setoption("reuseport", true)
  end
  if ok then ok, err = sock:bind(addr, port) end
  if ok then ok, err = sock:listen(opts.backlog or BACKLOG) end
  return finish(sock, ok, err)
end

--- Listeners by the place of their address, closed with the table unless they
--- were joined.
local Listeners = {}
function Listeners.__close(at)
  for _, sock in pairs(at) do sock:close() end
end

--- One listener at all these addresses, on one port, or nil, why not and which
--- address was to blame: addresses that this machine does not have are left
--- out, and anything else is an error. The address at place `first` begins: of
--- port 0 it takes one that it has free.
local function listen_at(entries, first, port, opts)
  local at <close>, list, missing = setmetatable({}, Listeners), {}, nil
  for i = first, first + #entries - 1 do
    local place = (i - 1) % #entries + 1
    local sock, err = listener_at(entries[place].family, entries[place].addr,
      port, opts)
    if sock then
      at[place] = sock
      if port == 0 then port = select(2, sock:getsockname()) end
    elseif absent[err] then
      missing = err
    else
      return nil, err, place
    end
  end
  for place = 1, #entries do list[#list + 1] = at[place] end
  if #list > 1 then return core.join_listeners(list) end
  at[next(at) or 1] = nil
  return list[1], missing
end

--- A port that is free at one address may be in use at another. That one is
--- asked first the next time: its free ones may be few.
local function listen_on(entries, port, opts)
  local tries = port == 0 and #entries > 1 and TRIES or 1
  local first = 1
  local sock, err, place
  for _ = 1, tries do
    sock, err, place = listen_at(entries, first, port, opts)
    if sock or err ~= IN_USE then break end
    first = place or first
  end
  return sock, err
end

--- Every address: a socket of both families, where there is IPv6.
local function listen_anywhere(port, opts)
  local family = opts.family
  if family ~= "inet" and family ~= "inet4" then
    local six = family and setmetatable({v6only = true}, {__index = opts})
    local sock, err = listener_at("inet6", "::", port, six or opts)
    if sock or family or err == IN_USE or err == "permission denied" then
      return sock, err
    end
  end
  return listener_at("inet", "0.0.0.0", port, opts)
end

--- Each address once: a name may stand in the hosts file twice.
local function distinct(entries)
  local list, known = {}, {}
  for _, entry in ipairs(entries) do
    if not known[entry.addr] then
      known[entry.addr] = true
      list[#list + 1] = entry
    end
  end
  return list
end

local function listen_tcp(host, port, opts)
  if host == "*" then return listen_anywhere(port, opts) end
  local service = math.type(port) and ("%d"):format(port) or port
  local entries, err = core.getaddrinfo("listen", host, service, opts.family,
    "stream", nil, "p")
  if not entries then return nil, err end
  return listen_on(distinct(entries), entries[1].port, opts)
end

local function listen_unix(path, opts)
  local sock = core.unix()
  local ok, err = core.bind_file(sock, path, check.mode(opts.mode))
  if ok then ok, err = sock:listen(opts.backlog or BACKLOG) end
  return finish(sock, ok, err)
end

--- Listens. nil or "*" is every address, of IPv6 and IPv4; port 0 takes a
--- free one (see getsockname). A name that has several addresses is listened on
--- at all of them that this machine has, on one port, by one listener.
--- "unix:/path" makes a socket file with `mode` ("0600" say) that goes when the
--- listener closes; one that nobody listens on is replaced. `tls` is parameters
--- or a context, see green.tls: connections have it, and make its handshake
--- when they are first used. Interruptible. May switch to look up a name.
---@param host? string
---@param port? integer|string
---@param opts? {backlog: integer, reuseport: boolean, mode: string|integer,
--- family: "inet"|"inet6", v6only: boolean, tls: table}
---@return userdata? listener
---@return string? err  "address already in use", "permission denied", ...
function green.listen(host, port, opts)
  host = check.value(host or "*", "string", 1, "listen")
  local path = unix_path(host)
  if not path then port = check_port(port, 2, "listen") end
  opts = check.options(opts, listen_options, 3, "listen")
  local params = opts.tls and tls().check(opts.tls, 3, "listen")
  core.checkpoint()
  local sock, err
  if path then
    sock, err = listen_unix(path, opts)
  else
    sock, err = listen_tcp(host, port, opts)
  end
  if not sock or not params then return sock, err end
  return finish(sock, tls().listen(sock, params, "listen"))
end

----------------------------------------------------------------- serve --

--- Raised by a handler, it ends the serve() that runs the handler.
green.StopServe = setmetatable({}, {
  __name = "green.StopServe",
  __tostring = function() return "StopServe" end,
})

errors.silence(green.StopServe)

--- One serve(): what its handlers share with it.
---@class Server: Handlers
---@field listener userdata
local Server = handlers.class("serve", "accept")

function Server:halt() core.stop_accept(self.listener) end

--- Closed when a handler ends, in whatever way.
local Guard = {}
function Guard.__close(guard, err)
  guard.conn:close()
  guard.server:ended(err)
end

--- The handshake of a connection, in its handler's thread. A peer that fails
--- in it never meets the handler.
local function opened(conn)
  local ok, err = conn:handshake()
  if ok then return true end
  local host = conn:getpeername()
  report.line("serve: handshake with %s: %s", host or "a peer", err)
end

--- The base of each handler's thread. Nothing here catches the error, so its
--- traceback shows where it was raised.
local function handle(guard)
  local _ <close> = guard
  if not core.is_opening(guard.conn) or opened(guard.conn) then
    guard.server.handler(guard.conn)
  end
end

--- Hands the connection to a thread of its own. Until that runs, the guard
--- has not begun: an error that prevents it closes the connection here.
function Server:start(conn)
  local guard = setmetatable({server = self, conn = conn}, Guard)
  if self.crew then return self.crew:spawn_n(handle, guard) end
  if not self.pool then return green.spawn_n(handle, guard) end
  local began = false
  local _ <close> = setmetatable({}, {__close = function(_, err)
    if err ~= nil and not began then Guard.__close(guard) end
  end})
  self.pool:spawn_n(function()
    began = true
    handle(guard)
  end)
end

--- max_threads is reached: holds the connection until some threads have ended.
--- An interruption closes it.
function Server:wait_threads(conn)
  local _ <close> = setmetatable({}, {__close = function(_, err)
    if err ~= nil then conn:close() end
  end})
  repeat self:back_off("too many green threads") until not core.crowded()
end

--- The kernel's limit of watches strikes a connection when it first waits: its
--- handler fails, and the next one's would.
function Server:check_refused()
  local refused = core.refused()
  if refused ~= self.refused then
    self.refused = refused
    self:back_off(handlers.UNWATCHED)
  end
end

function Server:run()
  while true do
    self:wait_room()
    self:check_refused()
    if self.stopped then return true end
    local conn, err = self.listener:accept()
    if conn then
      if core.crowded() then self:wait_threads(conn) end
      self:recover()
      self:start(conn)
    elseif err == "closed" or self.stopped then
      return true
    elseif err ~= "timeout"
      and (scarce[err] or core.accept_may_pass(self.listener)) then
      self:back_off(err)
    else
      return nil, err
    end
  end
end

local function check_serve(listener, handler, limit)
  if not check.has(listener, "accept") then
    check.wrong(1, "serve", "listener", listener)
  end
  check.callable(handler, 2, "serve")
  check.handlers(limit, 3, "serve")
end

--- Accepts connections until the listener is closed, by anyone, or a handler
--- raises green.StopServe, and runs handler(conn) for each in a green thread
--- of its own. conn is closed when the handler ends, always. A handler's
--- error goes to green.on_error. Handlers in flight go on after the end.
--- Interruptible; the listener stays open then. May switch.
---@param listener userdata
---@param handler fun(conn: userdata)
---@param limit? number|table  most handlers at once (accepting waits), or a
--- pool to run them
---@return true? ok
---@return string? err
function green.serve(listener, handler, limit)
  check_serve(listener, handler, limit)
  local server <close> = handlers.new(Server, {
    listener = listener, handler = handler, refused = core.refused()}, limit)
  return server:run()
end

function Server:__close()
  self.over = true
end

------------------------------------------------------------------- copy --

--- Moves bytes from one connection to another, at most n, until the source
--- ends; one of both may be a file on disk, of Lua's io library. Nothing is
--- shut: after the end, to:shutdown "send" tells the peer. Bytes that were not
--- written stay with the source, however the copy ends. Interruptible. May
--- switch.
---@type fun(from: userdata, to: userdata, n?: number): integer?, string?,
--- integer?, userdata?
green.copy = core.copy
------------------------------------------------------------------- TLS --

--- Puts TLS on a connection, handshake included; the socket, which stays the
--- same object, is closed when that fails. See green.tls.wrap.
---@param sock userdata
---@param params table|TlsContext
---@return userdata? sock
---@return string? err
function green.wrap_ssl(sock, params)
  return tls().wrap(sock, params)
end

------------------------------------------------------------ descriptors --

--- The classes of datagram sockets, which that module opens.
local function need_datagrams() require "green.net.datagrams" end

--- Two sockets of the Unix family that are connected with each other.
--- Datagrams keep their bounds. Never switches.
---@param kind? "stream"|"datagram"
---@return userdata? a
---@return userdata|string b
function green.socketpair(kind)
  kind = kind or "stream"
  if kind ~= "stream" and kind ~= "datagram" then
    check.bad(1, "socketpair", "\"stream\" or \"datagram\" expected")
  end
  if kind == "datagram" then need_datagrams() end
  local new = kind == "stream" and core.unix or core.unix_datagram
  local one, other = new(), new()
  if not (one and other) then return nil, "too many open files" end
  local a, b = core.pair(kind == "stream")
  if not a then return nil, b end
  return core.adopt(one, a, true), core.adopt(other, b, true)
end

--- A socket around a descriptor that is there: one that was received, or
--- inherited. It closes the descriptor, as any other. Never switches.
---@param fd integer
---@return userdata? sock  a connection, a listener or a datagram socket
---@return string? err
function green.adopt(fd)
  check.value(fd, "integer", 1, "adopt")
  local kind, err = core.kind_of_fd(fd)
  if not kind then return nil, err end
  need_datagrams()
  local new = kind == "unixdgram" and core.unix_datagram or core[kind]
  local sock
  sock, err = new()
  if not sock then return nil, err end
  return core.adopt(sock, fd)
end

--- Waits until a descriptor (or an object with getfd) is readable ("r") or
--- writable ("w"). The descriptor is watched only during the call, so the
--- caller may close it afterwards. For foreign C libraries. Interruptible. May
--- switch.
---@type fun(fd: integer|userdata, event: "r"|"w", s?: number): true?, string?
green.wait_fd = core.wait_fd

return {check_port = check_port, unix_path = unix_path}
