---@meta
-- A pool of resources: connections, handles, anything expensive to make.
--
--     local pool = green.resource_pool {
--       create = function() return green.connect("db.local", 5432) end,
--       destroy = function(conn) conn:close() end,
--       max = 10,
--     }
--     local lease <close>, conn = pool:lease(5)
--     if not lease then return nil, conn end
--
-- When a thread leaves the block, the item goes to the thread that has waited
-- longest, or back to the pool. When an error ends the block, or its thread is
-- interrupted, the state of the item is unknown, so it is destroyed.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green
local green = {}

--- Options of a pool. Errors of check, reset and destroy go to green.on_error,
--- those of create to the caller of lease.
---@class green.resource_pool_options
---@field create fun(): any  makes an item; may block; nil and an error: none
---@field destroy? fun(item: any)  ends one, in a thread of its own, which no
--- kill reaches for 5 s; then it is given up. Its place is taken until then
---@field check? fun(item: any): any  asked before an idle item is lent; may
--- block. If it returns false or nil, or raises, another item is taken or made
---@field reset? fun(item: any): any  called when an item is given back, in the
--- thread of the lease; may block, shielded, for 5 s. If it returns false or
--- raises, the item is destroyed
---@field min? integer  items that max_idle leaves; 0. They are made on demand
---@field max? integer  items that there are, or are being made, at most; 4; up
--- to 1,000,000
---@field max_age? number  seconds that an item is used; no limit
---@field max_idle? number  seconds that an item may be idle; no limit

--- Lends items, each to one thread at a time. It lends idle items last in,
--- first out, and serves waiting threads first come, first served. An item that
--- is too old is destroyed when the pool meets it: when it would be lent, or
--- when another is lent or given back.
---@class green.resource_pool
local Pool = {}

--- Never switches. Raises for unknown options, for those of a wrong type, and
--- without create.
---@param opts green.resource_pool_options
---@return green.resource_pool
function green.resource_pool(opts) end

--- Lends an idle item, or makes one, or waits until there is one: as `local
--- lease <close>, item = rp:lease()`. Returns nil and create's error when that
--- fails; then the next waiting thread may try. Raises what create raises. With
--- a limit of 0 or less it waits for nobody; but check and create run without a
--- limit then, and may switch. A throw that strikes check counts as an error of
--- check. Interruptible. May switch.
---@param s? number  time limit in seconds, for create and check as well
---@return green.lease lease
---@return any item
---@overload fun(self: green.resource_pool, s?: number): nil, "timeout"
---@overload fun(self: green.resource_pool, s?: number): nil, "closed"
---@overload fun(self: green.resource_pool, s?: number): nil, any
function Pool:lease(s) end

--- Changes max. Destroys surplus idle items now, and leased ones when they come
--- back. Never switches. Raises when max is below 1 or min, or above
--- 1,000,000.
---@param max integer
function Pool:resize(max) end

--- How many leases would not have to wait; below 0 when more are out than max
--- allows since a resize. Never switches.
---@return integer
function Pool:free() end

--- How many threads wait for an item. Never switches.
---@return integer
function Pool:waiting() end

--- Refuses further leases; waiting ones get "closed". Destroys idle items, and
--- waits until the leased ones have come back and are destroyed as well. When
--- the program ends without it, idle items are left to the collector.
--- Interruptible. May switch.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.resource_pool, s?: number): nil, "timeout"
function Pool:close(s) end

--- The right to an item. Its close gives the item back, and never raises; it
--- switches if reset does. It destroys the item if an error ended the block, if
--- an interruption is pending, or if another thread closes the lease. A lease
--- that nobody closes, as its thread was ended by force, is closed when it is
--- collected: not sooner, as another thread may have it.
---@class green.lease
local Lease = {}

--- Has the item destroyed; the lease is over. Never switches.
function Lease:discard() end

return green
