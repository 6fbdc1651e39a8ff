--- Connections with TLS for specs; false where OpenSSL or its command is
--- missing.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local shell = require "spec.shell"
local found = pcall(require, "green.openssl")
local certs = found and require "spec.certificates"

if not certs then return false end

local tls = {certificates = certs}

local HOST <const> = "127.0.0.1"

--- A listener with TLS, and its port.
function tls.listening(params)
  local l = assert(green.listen(HOST, 0,
    {tls = params or certs.of "server"}))
  return l, (select(2, l:getsockname()))
end

--- A client's connection; `more` are parameters besides the authority.
function tls.client(port, more)
  local params = {cafile = certs.ca}
  for k, v in pairs(more or {}) do params[k] = v end
  return green.connect(HOST, port, {tls = params})
end

--- Both ends of a connection, after the handshake.
function tls.pair(server, params)
  local l, port = tls.listening(server)
  local t = green.spawn(function()
    local far = assert(l:accept())
    local ok, err = far:handshake()
    return ok and far or nil, err
  end)
  local near, err = tls.client(port, params)
  local far, far_err = t:wait()
  l:close()
  return near, far, err, far_err
end

--- A server that sends back what comes, in a thread.
function tls.echo(params)
  local l, port = tls.listening(params)
  local t = green.spawn(green.serve, l, function(conn)
    local data = conn:recv(65536)
    while data and conn:send(data) do data = conn:recv(65536) end
  end)
  return l, port, t
end

--- Both ends of a plain connection.
function tls.plain()
  local l = assert(green.listen(HOST, 0))
  local near = assert(green.connect(HOST, (select(2, l:getsockname()))))
  local far = assert(l:accept())
  l:close()
  return near, far
end

--- The command runs beside us; waits for its end and returns what it said.
function tls.run(command, ...)
  local name = certs.folder .. "/script"
  local script = assert(io.open(name, "w"))
  script:write("unset LD_PRELOAD\ncd ", certs.folder, "\n",
    command:format(...), "\n")
  script:close()
  os.remove(name .. ".done")
  assert(os.execute(("{ timeout 20 sh %s >%s.said 2>&1; touch %s.done; } "
    .. "</dev/null >/dev/null 2>&1 &"):format(name, name, name)))
  while true do
    local done = io.open(name .. ".done")
    if done then
      done:close()
      break
    end
    green.sleep(0.005)
  end
  local file <close> = assert(io.open(name .. ".said"))
  return file:read "a"
end

--- update(conn): that end of a connection gives itself new keys and asks the
--- other one to do so, too, by its next send. spec/c/key_update.c.
function tls.key_update()
  local so = certs.folder .. "/spec/key_update.so"
  shell.run("mkdir -p %s/spec && cc -std=c11 -D_GNU_SOURCE -O1 -fPIC -shared "
    .. "-Icore -Ibindings $(tools/lua cflags %s) spec/c/key_update.c -o %s "
    .. "-lssl", certs.folder, shell.lua, so)
  return assert(package.loadlib(so, "luaopen_spec_key_update"))
end

return tls
