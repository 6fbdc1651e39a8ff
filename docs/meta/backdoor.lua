---@meta
-- The backdoor: a prompt inside the running program.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field backdoor green.backdoor  loaded on first use
local green = {}

--- A Lua prompt inside the running program, for telnet and nc. Commands take
--- turns while they compute: the memory model does not hold for them.
---@class green.backdoor
local backdoor = {}

---@class green.backdoor_options
---@field locals? table    names that sessions see, and may assign
---@field token? string    to be typed first; must not be empty
---@field banner? string   the greeting
---@field anywhere? boolean  server: not only on the loopback interface; false

--- Serves sessions as green.serve. Raises for bad options, and for a listener
--- that other machines reach, unless `anywhere`; without a token those are
--- refused even then. The loopback interface protects from neither other users
--- of the machine nor web pages in its browsers: prefer a Unix socket of mode
--- "0600". Over TCP without a token, a session ends if its first line is one of
--- HTTP or another protocol, or is not Lua. Refusals and wrong tokens are
--- reported on stderr or, if green.on_error has set a handler, to that, as
--- strings. Interruptible. May switch.
---@param listener green.listener
---@param opts? green.backdoor_options
---@return true
---@overload fun(listener: any, opts?: any): nil, string
function backdoor.server(listener, opts) end

--- Runs a session on a connection, and closes the connection at the end.
--- Without a token a connection from another machine is "refused". Raises for
--- bad options. Interruptible. May switch.
---@param conn green.connection
---@param opts? green.backdoor_options
---@return true
---@overload fun(conn: any, opts?: any): nil, "refused"
function backdoor.session(conn, opts) end
