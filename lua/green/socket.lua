--- LuaSocket's table: its functions, with its words, on green sockets. This
--- table and the one that `require "socket"` returns are exchangeable.
---
--- All that waits blocks the calling green thread alone, the look-up of a name
--- too. Everything may be replaced, as programs do with LuaSocket's: the
--- library looks up a function of this table each time it calls one.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local except = require "green.net.except"
local extend = require "green.net.streams"
local add_pumps = require "green.net.pumps"
local ipairs, math, select, setmetatable, tonumber, tostring, type =
  ipairs, math, select, setmetatable, tonumber, tostring, type
local sleep <const>, tcp <const> = green.sleep, core.luasocket_tcp

extend(core.open_luasocket())
core.open_luasocket_datagrams()

local socket = {
  _VERSION = "LuaSocket 3.0.0", -- http's user agent; programs look for it
  _SETSIZE = core.setsize(), -- how many sockets select takes
  _SOCKETINVALID = -1,
  _DATAGRAMSIZE = 8192,
  BLOCKSIZE = 2048,
  newtry = except.newtry,
  protect = except.protect,
  try = except.try,
  gettime = core.gettime,
  select = core.select_fds,
}

add_pumps(socket)

--- What a program calls when it wants the library gone.
function socket.__unload() end

--- All arguments but the first n.
---@param n integer
function socket.skip(n, ...)
  local count = math.tointeger(tonumber(n))
  if not count then
    check.bad(1, "skip", tonumber(n) and "number has no integer representation"
      or "number expected, got %s", type(n))
  end
  count = math.max(count, 0)
  if count < select("#", ...) then return select(count + 1, ...) end
end

--- Blocks the calling green thread. 0 or less: one turn for all others.
--- Interruptible. May switch.
---@param s number  seconds
function socket.sleep(s)
  sleep(check.seconds(s, 1, "sleep"))
end

------------------------------------------------------------- connecting --

--- An unconnected TCP socket, whose descriptor is made when connect or bind has
--- chosen a family.
---@return userdata sock
function socket.tcp() return tcp() end

--- The same for IPv4 alone; it has a descriptor at once.
---@return userdata? sock
---@return string? err  "Too many open files", ...
function socket.tcp4() return tcp("inet") end

--- The same for IPv6.
---@return userdata? sock
---@return string? err
function socket.tcp6() return tcp("inet6") end

--- A socket for datagrams, whose descriptor is made when sendto, setpeername or
--- setsockname has chosen a family.
---@return userdata sock
function socket.udp() return core.luasocket_udp() end

--- The same for IPv4 alone; it has a descriptor at once.
---@return userdata? sock
---@return string? err
function socket.udp4() return core.luasocket_udp("inet") end

--- The same for IPv6.
---@return userdata? sock
---@return string? err
function socket.udp6() return core.luasocket_udp("inet6") end

local families <const> = {unspec = "any", inet = "inet", inet6 = "inet6"}

--- Closes the socket: nil and the error.
local function give_up(sock, err)
  sock:close()
  return nil, err
end

--- What C takes for a string.
local function check_text(value, n)
  if type(value) == "string" or type(value) == "number" then return end
  check.bad(n, "connect", "string expected, got %s", type(value))
end

--- Connects to the first address of the host that answers. Interruptible. May
--- switch.
---@param host string
---@param port integer|string
---@param local_host? string  where to connect from
---@param local_port? integer|string
---@param family? "inet"|"inet6"|"unspec"  of the local address
---@return userdata? sock
---@return string? err
function socket.connect(host, port, local_host, local_port, family)
  check_text(host, 1)
  check_text(port, 2)
  if local_host ~= nil then check_text(local_host, 3) end
  if local_port ~= nil then check_text(local_port, 4) end
  if family ~= nil and not families[family] then
    check.bad(5, "connect", "invalid option '%s'", tostring(family))
  end
  local sock, err = tcp(local_host and families[family] or "any")
  if not sock then return nil, err end
  local ok
  if local_host then
    ok, err = sock:bind(local_host, local_port or 0)
    if not ok then return give_up(sock, err) end
  end
  ok, err = sock:connect(host, port)
  if not ok then return give_up(sock, err) end
  return sock
end

--- connect from an IPv4 address.
function socket.connect4(host, port, local_host, local_port)
  return socket.connect(host, port, local_host, local_port, "inet")
end

--- connect from an IPv6 address.
function socket.connect6(host, port, local_host, local_port)
  return socket.connect(host, port, local_host, local_port, "inet6")
end

--- Binds and listens on one address: nil and the error.
local function listening(address, port, backlog)
  local sock, err
  if address.family == "inet" then
    sock, err = socket.tcp4()
  else
    sock, err = socket.tcp6()
  end
  if not sock then return nil, err end
  sock:setoption("reuseaddr", true)
  local ok
  ok, err = sock:bind(address.addr, port)
  if ok then ok, err = sock:listen(backlog) end
  if not ok then return give_up(sock, err) end
  return sock
end

--- Listens on the first address of the host that can be bound; "*" is every one
--- of IPv4. Interruptible. May switch.
---@param host string
---@param port integer|string
---@param backlog? integer  32 by default
---@return userdata? server
---@return string? err
function socket.bind(host, port, backlog)
  local list, err = socket.dns.getaddrinfo(host == "*" and "0.0.0.0" or host)
  if not list then return nil, err end
  local sock
  err = "no info on address"
  for _, address in ipairs(list) do
    sock, err = listening(address, port, backlog)
    if sock then return sock end
  end
  return nil, err
end

socket.dns = core.luasocket_dns()

------------------------------------------------------------------- Unix --

local function stream() return core.luasocket_unix() end
local function datagram() return core.luasocket_unix_datagram() end

--- What `require "socket.unix"` gives: a table that can be called.
socket.unix = setmetatable({
  stream = stream, tcp = stream, dgram = datagram, udp = datagram,
}, {__call = stream})

------------------------------------------------------------ serial lines --

local opened_serial = false

--- What `require "socket.serial"` gives: opens a device, a terminal or a pipe
--- that can be polled. Its methods are those of a client.
---@param path string
---@return userdata? line
---@return string? err
function socket.serial(path)
  if type(path) ~= "string" then check.wrong(1, "serial", "string", path) end
  if not opened_serial then extend(core.open_serial()) end
  opened_serial = true
  return core.luasocket_serial(path)
end

return socket
