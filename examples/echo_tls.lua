-- echo_tls.lua - sends every line back to whoever sent it, over TLS.
--
--   luagreen examples/echo_tls.lua [port [certificate key]]
--   openssl s_client -quiet -connect localhost:7443
--
-- Without a certificate it makes one that signs itself, which no client should
-- believe. SIGHUP would be the time to call context:reload().
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local port, certificate, key = arg[1] or 7443, arg[2], arg[3]

local function made_up()
  local file = os.tmpname()
  assert(os.execute("openssl req -x509 -newkey ec -pkeyopt "
    .. "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
    .. "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
    .. ("-keyout %s -out %s.crt 2>/dev/null"):format(file, file)),
    "the openssl command is missing")
  return file .. ".crt", file
end

local temporary = not certificate
if temporary then certificate, key = made_up() end
local context = assert(green.tls.context {
  mode = "server", certificate = certificate, key = key,
})
if temporary then
  os.remove(key)
  os.remove(certificate)
end

local listener = assert(green.listen("127.0.0.1", port, {tls = context}))
print("echo with TLS on port " .. select(2, listener:getsockname()))
io.stdout:flush()

green.serve(listener, function(conn)
  for line in conn:lines() do
    assert(conn:send(line .. "\n"))
  end
end)
