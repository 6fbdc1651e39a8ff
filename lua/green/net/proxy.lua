--- The PROXY protocol, versions 1 and 2: by a header before all else, a load
--- balancer tells whose connection it passes on.
---
--- Nothing behind the header is read. A malformed header is an error and never
--- skipped: else any peer could claim any address.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local hosts = require "green.net.hosts"
local ipairs, math, string, tonumber, type =
  ipairs, math, string, tonumber, type

local spelled <const> = hosts.spelled

local proxy = {}

local SIGNATURE <const> = "\r\n\r\n\0\r\nQUIT\n"
--- Bytes: the longest line of version 1, with its end; most of version 2's
--- addresses and additions that a peer can make us keep.
local LONGEST_LINE <const>, MOST <const> = 107, 4096

--- What the option `proxy` says: nil, it is not spoken; a table of the hosts
--- that may, or true for all.
function proxy.trusted(option)
  if option == nil or option == false then return nil end
  if option == true then return true end
  if type(option) ~= "table" then
    check.misuse("bad option 'proxy' in 'server' (true or a list of hosts"
      .. " expected)")
  end
  local trusted = {}
  for _, host in ipairs(option) do
    check.value(host, "string", 1, "server")
    local text = host == "unix" and host or spelled(host, "inet")
      or spelled(host, "inet6")
    if not text then
      check.misuse("bad option 'proxy' in 'server' (%q is no address)", host)
    end
    trusted[hosts.unmapped(text)] = true
  end
  return trusted
end

--------------------------------------------------------------- version 1 --

local function port_of(text)
  local port = text:find "^%d+$" and math.tointeger(tonumber(text))
  return port and port <= 65535 and port or nil
end

local function tell(peer, family, host, port, to_host, to_port)
  peer.via, peer.via_port = peer.host, peer.port
  peer.family, peer.host, peer.port = family, host, port
  peer.to_host, peer.to_port = to_host, to_port
end

local function read_line(conn, peer)
  local n, stop = 1
  repeat
    local ok, err = conn:peek(n)
    if not ok then return nil, err end
    local data = conn:peek() -- all that is there
    stop, n = data:find("\n", 1, true), #data + 1
  until stop or n > LONGEST_LINE
  if not stop or stop > LONGEST_LINE then return nil, "bad PROXY header" end
  local line = conn:receive(stop)
  if line:find "^PROXY UNKNOWN[^\r\n]*\r\n$" then return true end
  local kind, host, to_host, port, to_port =
    line:match "^PROXY (TCP[46]) (%S+) (%S+) (%d+) (%d+)\r\n$"
  if not kind then return nil, "bad PROXY header" end
  local family = kind == "TCP4" and "inet" or "inet6"
  port, to_port = port_of(port), port_of(to_port)
  host, to_host = spelled(host, family), spelled(to_host, family)
  if not (port and to_port and host and to_host) then
    return nil, "bad PROXY header"
  end
  tell(peer, family, host, port, to_host, to_port)
  return true
end

--------------------------------------------------------------- version 2 --

local function ipv4(bytes)
  return ("%d.%d.%d.%d"):format(bytes:byte(1, 4))
end

local function ipv6(bytes)
  local text = ("%x:%x:%x:%x:%x:%x:%x:%x"):format(
    string.unpack(">I2I2I2I2I2I2I2I2", bytes))
  return spelled(text, "inet6")
end

local function additions(data, at)
  local list
  while at + 3 <= #data + 1 do
    local kind, size = string.unpack(">BI2", data, at)
    if at + 2 + size > #data then return list end
    list = list or {}
    list[kind] = data:sub(at + 3, at + 2 + size)
    at = at + 3 + size
  end
  return list
end

--- Bytes of both addresses with their ports, and what makes a text of one.
local families <const> = {[1] = {12, 4, ipv4, "inet"},
                          [2] = {36, 16, ipv6, "inet6"}}

local function tell_addresses(peer, kind, data)
  local family = families[kind >> 4]
  if not family or kind & 15 ~= 1 then return true end -- not of TCP
  local bytes, size, text, name = family[1], family[2], family[3], family[4]
  if #data < bytes then return nil, "bad PROXY header" end
  local port, to_port = string.unpack(">I2I2", data, 2 * size + 1)
  tell(peer, name, text(data:sub(1, size)), port,
    text(data:sub(size + 1, 2 * size)), to_port)
  peer.additions = additions(data, bytes + 1)
  return true
end

local function read_binary(conn, peer)
  local head, err = conn:receive(16)
  if not head then return nil, err end
  local version, kind, size = string.unpack(">BBI2", head, 13)
  if version >> 4 ~= 2 or version & 15 > 1 or size > MOST then
    return nil, "bad PROXY header"
  end
  local data = ""
  if size > 0 then
    data, err = conn:receive(size)
    if not data then return nil, err end
  end
  if version & 15 == 0 then return true end -- the balancer's own: a check
  return tell_addresses(peer, kind, data)
end

--- Reads the header of a connection: true, and `peer` gets the address in it;
--- or nil and why not. Interruptible. May switch.
function proxy.read(conn, peer, trusted)
  if trusted ~= true then
    local host = peer.host and hosts.unmapped(peer.host) or "unix"
    if not trusted[host] then return nil, "not a trusted proxy" end
  end
  local start, err = conn:peek(#SIGNATURE)
  if not start then return nil, err end
  if start == SIGNATURE then return read_binary(conn, peer) end
  if start:sub(1, 6) == "PROXY " then return read_line(conn, peer) end
  return nil, "bad PROXY header"
end

return proxy
