---@meta
-- Health: is the program fit to be asked?
--
-- SPDX-License-Identifier: MIT

---@class green
---@field health green.health  loaded on first use
local green = {}

--- Checks of what the program depends on, for a load balancer. They run side by
--- side, at most once a second, and all who ask share the run.
---@class green.health
local health = {}

--- Makes a check, in the place of one of that name; nil removes it. f runs in a
--- green thread of its own and returns true, or nil and the reason; an error is
--- a reason, too. Never switches. Raises unless f is nil or callable.
---@param name string
---@param f? fun(): any, string?
---@param s? number  time limit in seconds; 1
function health.check(name, f, s) end

---@class green.health_result
---@field ok boolean
---@field why? string       unless it is
---@field seconds number    that it took

--- Runs all checks, or takes part in the run under way, or has the results of
--- the last second. Interruptible. May switch.
---@return boolean ok  do all hold?
---@return table<string, green.health_result> results  by name
function health.run() end

--- The same as text, a line for each check. Interruptible. May switch.
---@return boolean ok
---@return string text
function health.text() end

--- From now on run() says no, so that a load balancer sends no more requests
--- while those under way end. Never switches.
function health.stop() end

return green
