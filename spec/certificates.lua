--- Certificates for specs, made by the openssl command when this is loaded, in
--- a folder that is gone at the end. false where there is no such command.
---
--- SPDX-License-Identifier: MIT

local certificates = {}

local found = os.execute "command -v openssl >/dev/null 2>&1"
if not found then return false end

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir -m 700 " .. folder))
certificates.folder = folder

--- Removes the folder when the state closes.
certificates.guard = setmetatable({}, {__gc = function()
  os.execute("rm -rf " .. folder)
end})

local function path(name) return ("%s/%s.pem"):format(folder, name) end

local function run(command, ...)
  command = command:format(...)
  command = ("unset LD_PRELOAD; cd %s && { %s; } 2>&1"):format(folder,
    command)
  local pipe = assert(io.popen(command))
  local said = pipe:read "a"
  assert(pipe:close(), command .. "\n" .. said)
end

local KEY <const> = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

local function authority(name)
  run("openssl req -x509 %s -keyout %s-key.pem -out %s.pem -days 2 "
    .. "-subj '/CN=%s'", KEY, name, name, name)
end

--- A certificate of that name, signed by an authority.
local function leaf(name, ca, names, days)
  run("openssl req -new %s -keyout %s-key.pem -out %s.csr -subj '/CN=%s' && "
    .. "printf 'subjectAltName=%s' >%s.ext && "
    .. "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s-key.pem "
    .. "-CAcreateserial -days %d -extfile %s.ext -out %s.pem",
    KEY, name, name, name, names, name, name, ca, ca, days or 2, name, name)
end

authority "ca"
authority "otherca"
leaf("server", "ca", "DNS:localhost,DNS:server.example,IP:127.0.0.1")
leaf("second", "ca", "DNS:*.second.example")
leaf("expired", "ca", "DNS:localhost,IP:127.0.0.1", -1)
leaf("client", "ca", "DNS:client.example")
leaf("stranger", "otherca", "DNS:stranger.example")
run("openssl x509 -in server.pem -out renewed.pem && "
  .. "openssl ec -aes128 -passout pass:sesame -in server-key.pem "
  .. "-out locked-key.pem")

certificates.ca, certificates.otherca = path "ca", path "otherca"
certificates.path = path

--- Parameters of a server or a client with that certificate.
function certificates.of(name, more)
  local params = {certificate = path(name), key = path(name .. "-key")}
  for k, v in pairs(more or {}) do params[k] = v end
  return params
end

return certificates
