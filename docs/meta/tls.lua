---@meta
-- TLS: green.tls is loaded on first use; `local tls = require "green.tls"`
-- gives the same table. It needs OpenSSL 3 (libssl3; to build it, libssl-dev).
--
-- A connection with TLS has every method of a plain one, and its limits. Two
-- things are different: a stream that is cut without the peer's word ends with
-- the error "truncated", not with "closed"; and sending, too, may fail with
-- what the handshake found.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field tls green.tls
local green = {}

--- Parameters have LuaSec's names; lists may be one string. Certificates, keys
--- and CAs are files, or PEM as it is.
---@class green.tls_params
---@field mode? "client"|"server"  "client", but for listeners
---@field certificate? string  with those above it
---@field key? string          the file of the certificate, by default
---@field password? string|fun(): string  of the key
---@field certificates? green.tls_params[]  several: of other kinds of keys
---@field cafile? string       whom to trust; a client: the system's, by default
---@field capath? string       the same, a folder
---@field verify? string|string[]  "peer" is a client's default, "none" a
--- server's; "fail_if_no_peer_cert" asks clients for a certificate
---@field hostname? string|false  what a server's certificate must have;
--- servername by default; false: any name will do
---@field servername? string   the name to ask for (SNI); the host of connect
---@field depth? integer       certificates above the peer's
---@field verifyext? string|string[]  "crl_check", "crl_check_chain"
---@field protocol? string     "any" (1.2 and newer), "tlsv1_2", "tlsv1_3"
---@field options? string|string[]  OpenSSL's: "no_ticket", "no_tlsv1_2"
---@field ciphers? string      of TLS 1.2
---@field ciphersuites? string  of TLS 1.3
---@field curve? string        "X25519:P-256"
---@field curveslist? string   the same
---@field dhparam? string|function  a file, PEM, or what returns PEM
---@field alpn? string|string[]  protocols, the best first
---@field sni? table<string, green.tls_params|green.tls_context>  other names
--- of a server; "*.a.example" stands for one label more
---@field strict? boolean      a server refuses all other names
---@field handshake? number    seconds for it; a server: 10
---@field context? green.tls_context  made before; then only names count

---@class green.tls_info
---@field version string      "TLSv1.3"
---@field cipher string
---@field bits integer
---@field mode "client"|"server"
---@field alpn? string
---@field servername? string  that was asked for
---@field resumed boolean     the handshake was a short one
---@field trusted boolean     the peer has a certificate, which is good
---@field distrust? string    why it is not
---@field peer? green.tls_certificate
---@field chain green.tls_certificate[]  the peer's, and those above it

---@class green.tls_certificate
---@field subject string
---@field issuer string
---@field serial string
---@field names string[]      those it is for
---@field not_before integer  as of os.time()
---@field not_after integer
---@field fingerprint string  SHA-256, in hexadecimal digits
---@field pem string

---@class green.tls
---@field library string  OpenSSL's name and version
local Tls = {}

--- A context, which many connections share: files are read once, and a client's
--- sessions are resumed. Parameters that are none, or of a wrong type, raise. A
--- context works wherever parameters do. Never switches. Raises what `password`
--- and `dhparam` raise.
---@param params green.tls_params
---@return green.tls_context
---@overload fun(params: any): nil, string
function Tls.context(params) end

--- The same as green.wrap_ssl. Interruptible. May switch. Raises for parameters
--- that are none.
---@param sock green.connection|green.listener
---@param params green.tls_params|green.tls_context
---@return green.connection|green.listener
---@overload fun(sock: any, params: any): nil, string
function Tls.wrap(sock, params) end

--- Puts TLS on a connection, handshake included, as a client unless `mode` says
--- "server". The socket stays the same object; it is closed when that fails. On
--- a listener: connections that are accepted from now on have TLS, of this
--- context if it had another. Interruptible. May switch. Raises for parameters
--- that are none, and if a client is to verify and knows no name.
---@param sock green.connection|green.listener
---@param params green.tls_params|green.tls_context
---@return green.connection|green.listener
---@overload fun(sock: any, params: any): nil, "timeout"
---@overload fun(sock: any, params: any): nil, string
function green.wrap_ssl(sock, params) end

---@class green.tls_context
local Context = {}

--- Makes the context anew, of its files as they are now or of other parameters:
--- for those who connect from now on. Connections go on as they were, and
--- tickets for sessions stay good. If it fails, nothing has changed. Never
--- switches. Raises for parameters that are none.
---@param params? green.tls_params
---@return true
---@overload fun(self: green.tls_context, params: any): nil, string
function Context:reload(params) end
