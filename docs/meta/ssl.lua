---@meta
-- LuaSec on green threads.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field ssl green.ssl  loaded on first use
local green = {}

--- LuaSec's module `ssl`, the installed one, on connections that block the
--- calling green thread alone. Without LuaSec, its first use raises.
---
--- Connections have LuaSec's methods, results and words: a limit that is over
--- gives "wantread" or "wantwrite". One thread reads at a time; writers take
--- turns. Bytes of an interrupted receive stay; after a send that was
--- interrupted midway the next one returns nil, "send was cut". As LuaSec does,
--- it checks no host name.
---@class green.ssl
---@field config table  what LuaSec and OpenSSL can do
---@field _VERSION string
---@field _COPYRIGHT string
local ssl = {}

--- A context of LuaSec's parameters, for any number of connections. Never
--- switches.
---@param params table
---@return userdata context
---@overload fun(params: table): nil, string
function ssl.newcontext(params) end

--- A TLS connection over a socket, whose descriptor it takes. Never switches:
--- that is the part of `dohandshake`.
---@param sock any  with getfd and setfd, as LuaSocket's and green.socket's
---@param params table|userdata  LuaSec's parameters, or a context
---@return table conn
---@overload fun(sock: any, params: table|userdata): nil, string
function ssl.wrap(sock, params) end

--- A certificate of a text in PEM. Never switches.
---@param text string
---@return userdata certificate
---@overload fun(text: string): nil, string
function ssl.loadcertificate(text) end

return green
