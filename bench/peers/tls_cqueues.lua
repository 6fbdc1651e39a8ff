-- tls_cqueues.lua - an echo server with TLS; prints its port.
-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"
local socket = require "cqueues.socket"
local context = require "openssl.ssl.context"
local pkey = require "openssl.pkey"
local x509 = require "openssl.x509"

local function read(name)
  local file <close> = assert(io.open(os.getenv(name)))
  return file:read "a"
end

local ctx = context.new("TLS", true)
ctx:setCertificate(x509.new(read "TLS_CERT"))
ctx:setPrivateKey(pkey.new(read "TLS_KEY"))

local listener = socket.listen{host = "127.0.0.1", port = 0}
assert(listener:listen())
print((select(3, listener:localname())))
io.stdout:flush()

local function serve(conn)
  conn:setmode("bn", "bn")
  conn:setbufsiz(65536, 65536)
  conn:onerror(function(_, _, code) return code end)
  if conn:starttls(ctx) then
    for data in function() return conn:read(-65536) end do
      if not conn:write(data) then break end
    end
  end
  conn:close()
end

local loop = cqueues.new()
loop:wrap(function()
  for conn in listener:clients{nodelay = true} do loop:wrap(serve, conn) end
end)
assert(loop:loop())
