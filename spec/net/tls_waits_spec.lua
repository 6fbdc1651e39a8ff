-- The promises of every wait, for streams with TLS.
-- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local green = require "green"
local promises = require "spec.promises"
local streams = require "spec.streams"
local tls = require "spec.tls"

local disconnect, drain = ends.disconnect, ends.drain
local limited, taken = ends.limited, ends.taken

if not tls then
  describe("waits with TLS", function()
    it("are tested", function()
      pending "green.openssl is not built, or there is no openssl command"
    end)
  end)
  return
end

local certs = tls.certificates
local tls_server = assert(green.tls.context(certs.of("server",
  {mode = "server"})))
local tls_client = assert(green.tls.context {cafile = certs.ca,
  verify = "none"})

--- The server's side is still to make its handshake.
local function accepted_with_tls()
  local o = {l = assert(green.listen("127.0.0.1", 0, {tls = tls_server}))}
  local _, port = o.l:getsockname()
  o.near = assert(green.connect("127.0.0.1", port))
  o.far = assert(o.l:accept())
  return o
end

--- After the handshake.
local function with_tls(o)
  local t = green.spawn(green.wrap_ssl, o.near, tls_client)
  assert(o.far:handshake())
  assert(t:wait())
  o.near:settimeout(0)
  return o
end

local function connected_with_tls() return with_tls(accepted_with_tls()) end

local function stuffed_with_tls()
  local near, far = green.socketpair()
  local t = green.spawn(green.wrap_ssl, near, tls_client)
  assert(green.wrap_ssl(far, tls_server))
  assert(t:wait())
  local o = {near = near, far = far, l = {close = function() end}}
  local chunk = ("x"):rep(65536)
  near:settimeout(0)
  while near:send(chunk) do end
  return o
end

promises.check(describe, it, streams(" with TLS", connected_with_tls,
  stuffed_with_tls))
promises.check(describe, it, {
  {
    name = "socket:shutdown with TLS", all = true, late = true, value = 1,
    make = stuffed_with_tls, clean = disconnect, satisfy = drain,
    wait = function(o, s) return limited(o.near, s):shutdown("send") end,
    close = function(o) o.near:close() end,
  }, {
    name = "socket:handshake", all = true, late = true, steps = true,
    value = true,
    make = accepted_with_tls,
    wait = function(o, s) return limited(o.far, s):handshake() end,
    satisfy = function(o)
      o.peer = green.spawn(green.wrap_ssl, o.near, tls_client)
    end,
    clean = function(o)
      disconnect(o)
      if o.peer then o.peer:join() end
    end,
    close = function(o) o.far:close() end,
  }, {
    name = "wrap_ssl", all = true, late = true, value = true, keeps = true,
    steps = true, unordered = true, limitless = true,
    make = function() return {out = {}} end,
    clean = function(o)
      for _, sock in ipairs(o.out) do sock:close() end
    end,
    wait = function(o)
      local near, far = green.socketpair()
      o.out[#o.out + 1] = far
      return taken(green.wrap_ssl(near, tls_client))
    end,
    satisfy = function(o)
      for _, far in ipairs(o.out) do
        green.spawn_n(function()
          if green.wrap_ssl(far, tls_server) then far:receive() end
          far:close()
        end)
      end
      o.out = {}
    end,
  },
})
