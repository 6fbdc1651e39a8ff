--- Methods of streams that are written in Lua.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local check = require "green.runtime.check"
local error, ipairs, math, pairs, require =
  error, ipairs, math, pairs, require

--- recv() never returns more.
local CHUNK <const> = 65536

--- Those in C: bindings/net/peek.c and passing.c.
local methods = {getsocknames = core.getsocknames}
for _, name in ipairs {"peek", "unread", "readable", "abort", "sendfd",
  "recvfd", "peercred"} do
  methods[name] = core[name]
end

--- Iterates over the lines, without their ends, until the peer closes; a last
--- line without an end counts. Raises on other failures. The iterator is
--- interruptible and may switch.
---@return fun(): string?
function methods.lines(sock)
  return function()
    local line, err, partial = sock:receive("*l")
    if line then return line end
    if err == "closed" then return partial ~= "" and partial or nil end
    -- The loop may be begun again: the beginning of the line is still there.
    if partial ~= "" and err ~= "line too long" then sock:unread(partial) end
    error(err, 2)
  end
end

--- Iterates over the bytes as they arrive, at most n at a time, until the peer
--- closes. Raises on other failures. The iterator is interruptible and may
--- switch.
---@param n? integer
---@return fun(): string?
function methods.chunks(sock, n)
  n = n or CHUNK
  if math.type(n) ~= "integer" or n < 1 then
    check.bad(1, "chunks", "positive integer expected")
  end
  return function()
    local data, err = sock:recv(n)
    if not data and err ~= "closed" then error(err, 2) end
    return data
  end
end

local tls <const> = core.is_layered -- as errors name it

--- What TLS makes of the connection: version, cipher, bits, alpn, servername,
--- resumed, and of the peer's certificate, in `peer`, subject, issuer, names,
--- not_before, not_after, fingerprint, pem; `chain` has those above it, too.
--- nil: no TLS, or before the handshake. Never switches.
---@return table?
function methods.tls(sock)
  return tls(sock) and require "green.net.tls".info(sock) or nil
end

--- Adds the methods to tables of methods.
return function(classes)
  for _, class in ipairs(classes) do
    for name, method in pairs(methods) do class[name] = method end
  end
end
