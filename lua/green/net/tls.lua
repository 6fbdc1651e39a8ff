--- TLS: contexts, and the parameters that they are made of.
---
--- A connection with TLS is a connection like any other: its bytes go through a
--- layer in C below its buffer (bindings/tls), and no method knows of it. Here
--- is what is policy: LuaSec's names of parameters, and what is on by default.
--- A client verifies the chain of certificates and the name of the host; it
--- trusts the system's authorities, or others that it is given. A program that
--- weakens that has to say so: verify = "none", hostname = false.
---
--- A context is what many connections share. It is made of files once; to make
--- one for each connection costs more than a handshake.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local check = require "green.runtime.check"
local getmetatable, ipairs, math, next, pairs, pcall, require, setmetatable,
  string, table, tonumber, tostring, type =
  getmetatable, ipairs, math, next, pairs, pcall, require, setmetatable,
  string, table, tonumber, tostring, type

--- Seconds for a handshake that a server waits, unless told otherwise.
local HANDSHAKE <const> = 10
local CONTEXT <const> = "green.tls.context"

local loaded, openssl = pcall(require, "green.openssl")
if not loaded then
  -- Lua tells a library that it cannot open from one that is not there by no
  -- more than these words, if at all. A socket tells what lacks; its class is
  -- made there.
  require "green.net.net"
  local _ <close>, lack = core.tcp "inet"
  if lack then check.misuse("TLS cannot be loaded: %s", lack) end
  check.misuse("TLS needs OpenSSL 3: install libssl3, and to build luagreen "
    .. "with it libssl-dev (%s)", (tostring(openssl):gsub("\n.*", "")))
end

local tls = {library = openssl.library}

------------------------------------------------------------- parameters --

--- A parameter is a list or one string.
local function list_of(value)
  return type(value) == "table" and value or {value}
end

local kinds = {
  mode = "string", protocol = "string",
  key = "string", certificate = "string", password = "password",
  certificates = "table", cafile = "string", capath = "string",
  verify = "list", verifyext = "list", options = "list", depth = "integer",
  ciphers = "string", ciphersuites = "string", curve = "string",
  curveslist = "string", dhparam = "dhparam", alpn = "alpn",
  sni = "table", strict = "boolean", handshake = "number",
  servername = "name", hostname = "hostname", context = "context",
}

--- C ends a text at its first zero byte, and takes an empty name for none: then
--- it would check another name than the program's, or no name.
local function is_text(v) return type(v) == "string" and not v:find "\0" end
local function is_name(v) return is_text(v) and v ~= "" end

local fits = {}
function fits.password(v) return type(v) == "string" or check.is_callable(v) end
function fits.dhparam(v) return is_text(v) or check.is_callable(v) end
function fits.hostname(v) return is_name(v) or v == false end
fits.name, fits.string = is_name, is_text
function fits.context(v) return getmetatable(v) == CONTEXT end
local function is_list(v, fits_item)
  if type(v) ~= "table" then return fits_item(v) end
  for _, item in pairs(v) do
    if not fits_item(item) then return false end
  end
  return true
end
function fits.list(v) return is_list(v, is_text) end
function fits.alpn(v) -- any bytes
  return is_list(v, function(name) return type(name) == "string" end)
end

local expected = {password = "string or function",
                  dhparam = "string or function",
                  hostname = "name or false",
                  context = "context",
                  list = "string or list of strings",
                  alpn = "string or list of strings"}

local function check_params(params, n, what)
  if fits.context(params) then return {context = params} end
  if type(params) ~= "table" then
    check.wrong(n, what, "TLS parameters", params)
  end
  for name, value in pairs(params) do
    local kind = kinds[name]
    if not kind then
      check.misuse("unknown TLS parameter '%s' in '%s'", tostring(name), what)
    end
    local ok
    if fits[kind] then
      ok = fits[kind](value)
    elseif kind == "integer" then
      ok = math.tointeger(value) and value >= 0
    else
      ok = type(value) == kind
    end
    if not ok then
      check.misuse("bad TLS parameter '%s' in '%s' (%s expected, got %s)",
        name, what, expected[kind] or kind,
        type(value) == "string" and ("%q"):format(value) or type(value))
    end
  end
  return params
end

---------------------------------------------------- one setting at a time --

--- Each takes the context under construction, the parameters, and the name of
--- the function that was called; and returns true, or nil and why not.
local settings = {}

local TLS1_2 <const>, TLS1_3 <const> = 0x303, 0x304
local protocols <const> = {
  any = {TLS1_2, 0}, sslv23 = {TLS1_2, 0}, tlsv1 = {0x301, 0x301},
  tlsv1_1 = {0x302, 0x302}, tlsv1_2 = {TLS1_2, TLS1_2},
  tlsv1_3 = {TLS1_3, TLS1_3},
}

function settings.protocol(c, params)
  local range = protocols[params.protocol]
  if not range then
    return nil, ("invalid protocol (%s)"):format(params.protocol)
  end
  return c:protocol(range[1], range[2])
end

--- A password may be a function: its result does not stay behind.
local function called(value)
  if type(value) == "string" or value == nil then return value end
  return value()
end

local function add_certificate(c, of)
  local chain = of.certificate or of.key
  if not chain then return true end
  local password = called(of.password)
  if password ~= nil and type(password) ~= "string" then
    return nil, "invalid password type"
  end
  return c:certificate(chain, of.key or chain, password)
end

function settings.certificate(c, params)
  for _, one in ipairs(params.certificates or {}) do
    local ok, err = add_certificate(c, one)
    if not ok then return nil, err end
  end
  return add_certificate(c, params)
end

function settings.cafile(c, params) return c:cafile(params.cafile) end
function settings.capath(c, params) return c:capath(params.capath) end
function settings.ciphers(c, params) return c:ciphers(params.ciphers) end
function settings.ciphersuites(c, params)
  return c:ciphersuites(params.ciphersuites)
end
function settings.curve(c, params) return c:curves(params.curve) end
function settings.curveslist(c, params) return c:curves(params.curveslist) end
function settings.depth(c, params) return c:depth(params.depth) end
function settings.strict(c, params) return c:strict(params.strict) end

function settings.handshake(c, params)
  if not (params.handshake > 0) then
    check.misuse("bad TLS parameter 'handshake' (more than 0 expected)")
  end
  return c:limit(math.min(params.handshake, 1e9))
end

--- LuaSec's function is asked once; it returns the parameters as PEM.
function settings.dhparam(c, params)
  local pem = params.dhparam
  if type(pem) ~= "string" then pem = pem(false, 2048) end
  if type(pem) ~= "string" then return nil, "invalid DH parameter type" end
  return c:dhparam(pem)
end

function settings.options(c, params)
  for _, name in ipairs(list_of(params.options)) do
    local ok, err = c:option(name)
    if not ok then return nil, err end
  end
  return true
end

local flags <const> = {none = 0, peer = 1, fail_if_no_peer_cert = 2,
                       client_once = 3}

function settings.verify(c, params)
  local set = {}
  for _, name in ipairs(list_of(params.verify)) do
    if not flags[name] then
      return nil, ("invalid verify option (%s)"):format(name)
    end
    set[flags[name]] = true
  end
  return c:verify(set[1] or set[2] or set[3], set[2], set[3])
end

function settings.verifyext(c, params)
  for _, name in ipairs(list_of(params.verifyext)) do
    if name ~= "crl_check" and name ~= "crl_check_chain" then
      return nil, ("invalid verify option (%s)"):format(name)
    end
    c:verifyext(name)
  end
  return true
end

function settings.alpn(c, params)
  local wire = {}
  for _, name in ipairs(list_of(params.alpn)) do
    if name == "" or #name > 255 then
      return nil, "invalid ALPN name (empty string, or too long)"
    end
    wire[#wire + 1] = string.char(#name) .. name
  end
  if #wire == 0 then return nil, "invalid ALPN list (empty)" end
  return c:alpn(table.concat(wire))
end

------------------------------------------------------------------ contexts --

--- The methods of a context are those of this object's; `c` is C's.
---@class TlsContext
---@field c userdata
---@field params table
---@field names? table<string, TlsContext>
local Context = {}
Context.__index = Context
Context.__name = CONTEXT
Context.__metatable = CONTEXT

local function is_server(params) return params.mode == "server" end

--- The system's authorities are read once, and shared by all contexts that were
--- made since somebody last reloaded one.
local system

local function trust_system(c)
  if not system then
    system = openssl.context "client"
    local ok, err = system:trust_system()
    if not ok then return nil, err end
  end
  return c:trust_system(system)
end

local build

--- The names of a server that has several.
local function add_names(c, params, what)
  local names = {}
  for name, of in pairs(params.sni or {}) do
    if not is_name(name) then
      check.misuse("bad TLS parameter 'sni' in '%s' (names expected)", what)
    end
    local own = check_params(of, 2, what)
    local context = own.context
    if not context then
      local copy = {alpn = params.alpn, handshake = params.handshake}
      for k, v in pairs(own) do copy[k] = v end
      copy.mode = "server"
      local err
      context, err = build(copy, what)
      if not context then return nil, ("%s: %s"):format(name, err) end
    end
    if not context.c:is_server() then
      check.misuse("bad TLS parameter 'sni' in '%s' (a server's context "
        .. "expected)", what)
    end
    local ok, err = c:name(name, context.c)
    if not ok then return nil, err end
    names[name] = context
  end
  return names
end

local ORDER <const> = {"protocol", "options", "certificate", "cafile",
  "capath", "ciphers", "ciphersuites", "curve", "curveslist", "dhparam",
  "depth", "verify", "verifyext", "alpn", "strict", "handshake"}

--- The defaults of parameters.
local function set_defaults(c, params)
  if is_server(params) then return c:limit(HANDSHAKE) end
  c:verify(true)
  local trusts_nobody = not (params.cafile or params.capath)
  if trusts_nobody and params.verify ~= "none" then return trust_system(c) end
  return true
end

local function new_c(params, what)
  local c, err = openssl.context(is_server(params) and "server" or "client")
  if not c then return nil, err end
  local ok
  ok, err = set_defaults(c, params)
  for _, name in ipairs(ORDER) do
    local asked = params[name] ~= nil or name == "certificate"
    if ok and asked then ok, err = settings[name](c, params) end
  end
  if not ok then return nil, err end
  local names
  names, err = add_names(c, params, what)
  if not names then return nil, err end
  return c, names
end

function build(params, what)
  if params.mode and params.mode ~= "client" and not is_server(params) then
    return nil, "invalid mode"
  end
  local c, names = new_c(params, what)
  if not c then return nil, names end
  return setmetatable({c = c, params = params, names = names}, Context)
end

--- A context from LuaSec's parameters, and: `sni`, a server's other names, each
--- with parameters or a context of its own, "*.a.example" standing for one
--- label more; `strict`, all other names are refused; `handshake`, the seconds
--- that one may last (10 for a server). Certificates, keys and CAs are files,
--- or PEM as it is. Reads files; never switches.
---@param params table
---@return TlsContext? context
---@return string? err  "error loading certificate 'x.pem' (No such file ...)"
function tls.context(params)
  params = check_params(params, 1, "tls.context")
  if params.context then return params.context end
  local copy = {}
  for name, value in pairs(params) do copy[name] = value end
  return build(copy, "tls.context")
end

--- Makes the context anew, of the same files or of other parameters: those who
--- connect from now on get that. Connections go on as they are, tickets that
--- were given before stay good. If it fails, nothing has changed.
---@param params? table
---@return true? ok
---@return string? err
function Context:reload(params)
  check.self(self, Context, "reload")
  params = params and check_params(params, 1, "reload") or self.params
  local copy = {}
  for name, value in pairs(params) do copy[name] = value end
  copy.mode = self.params.mode
  local before = system
  system = nil
  local new, err = build(copy, "reload")
  if not new then
    system = before
    return nil, err
  end
  self.c:swap(new.c)
  self.params, self.names = copy, new.names
  return true
end

function Context:__tostring()
  check.self(self, Context, "__tostring")
  return ("TLS context (%s)"):format(self.params.mode or "client")
end

-------------------------------------------------------------- connections --

--- The context of parameters that differ from the defaults in names alone is
--- shared: the system's authorities are read once, and sessions are resumed.
local default

local function only_names(params)
  for name in next, params do
    if name ~= "servername" and name ~= "hostname" and name ~= "mode" then
      return false
    end
  end
  return params.mode ~= "server"
end

local function context_of(params, what)
  if params.context then return params.context end
  if not only_names(params) then return build(params, what) end
  local err
  if not default then default, err = build({mode = "client"}, what) end
  return default, err
end

--- What tells a client's sessions apart within a context.
local function session_key(sock, servername, hostname)
  local host, port = sock:getpeername()
  return ("%s %s %s %s"):format(servername, hostname, host, port)
end

--- A whole name may end with a dot, for look-ups; certificates have none there,
--- and clients ask for none.
local function without_dot(name) return name and name:gsub("(.)%.$", "%1") end

--- The names of a client's connection: the one it asks for, and the one that
--- the certificate must have.
local function names_of(context, params, host, what)
  local servername = without_dot(params.servername or host)
  local hostname = without_dot(params.hostname)
  if hostname == nil then hostname = servername end
  if not context.c:checks() then return servername, nil end
  if hostname == nil then
    check.misuse("'%s' needs 'servername', the name that the server's "
      .. "certificate must have, or hostname = false", what)
  end
  return servername, hostname or nil
end

--- Puts TLS on a socket; the handshake is still to come. nil and why not: the
--- socket is as it was.
local function put_on(sock, params, host, what)
  local context, err = context_of(params, what)
  if not context then return nil, err end
  if context.c:is_server() then return openssl.wrap(sock, context.c) end
  if core.is_listener(sock) then
    check.misuse("'%s' needs a server's context", what)
  end
  local servername, hostname = names_of(context, params, host, what)
  return openssl.wrap(sock, context.c, servername, hostname,
    session_key(sock, servername, hostname))
end

--- Parameters as connect and listen have them: true is what is so by default.
function tls.check(params, n, what)
  if params == true then return {} end
  return check_params(params, n, what)
end

--- For connect: the handshake included. The socket is not closed when it fails.
function tls.start(sock, params, host, what)
  local ok, err = put_on(sock, params, host, what)
  if not ok then return nil, err end
  return sock:handshake()
end

--- Parameters of a server, with or without `mode = "server"`.
local function as_server(params)
  if params.context then return params end
  local copy = {}
  for name, value in pairs(params) do copy[name] = value end
  copy.mode = "server"
  return copy
end

--- For listen: connections that are accepted from now on have TLS.
function tls.listen(listener, params, what)
  return put_on(listener, as_server(params), nil, what)
end

--- For green.server: one context for all that it accepts; or nil and why not.
function tls.server_context(params, what)
  return context_of(as_server(check_params(params, 1, what)), what)
end

--- Puts TLS on a connection, handshake included, as a client unless `mode` says
--- "server"; the socket, which stays the same object, is closed when that
--- fails. On a listener: connections that are accepted from now on have TLS;
--- where they had, of another context. Interruptible. May switch.
---@param sock userdata
---@param params table|TlsContext  LuaSec's, and servername, hostname
---@return userdata? sock
---@return string? err
function tls.wrap(sock, params)
  params = check_params(params, 2, "wrap_ssl")
  if core.is_listener(sock) then
    local ok, err = tls.listen(sock, params, "wrap_ssl")
    if not ok then return nil, err end
    return sock
  end
  local ok, err = tls.start(sock, params, nil, "wrap_ssl")
  if ok then return sock end
  sock:close()
  return nil, err
end

--------------------------------------------------------------- information --

local numbers <const> = {bits = true, not_before = true, not_after = true}
local booleans <const> = {resumed = true, trusted = true}

local function value_of(name, value)
  if numbers[name] then return tonumber(value) end
  if booleans[name] then return value == "true" end
  return value
end

--- A description of a connection's TLS; nil where there is none, or before the
--- handshake.
function tls.info(sock)
  local text = openssl.info(sock)
  if not text then return nil end
  local info, chain = {}, {}
  local to = info
  for name, value in text:gmatch "([^\0]*)\0([^\0]*)\0" do
    if name == "certificate" then
      to = {names = {}}
      chain[#chain + 1] = to
    elseif name == "name" then
      to.names[#to.names + 1] = value
    else
      to[name] = value_of(name, value)
    end
  end
  info.trusted = info.trusted or false
  info.peer = chain[1]
  info.chain = chain
  return info
end

return tls
