---@meta
-- Existing code on green threads.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.patches
---@field require? boolean|function

--- Replaces functions of the standard library by those that know of green
--- threads: the ones that are named, or all if nothing is given. A
--- replacement stays. bin/luagreen replaces require. Never switches. Raises for
--- an unknown name, naming it, and for values that are no boolean.
---
--- require: a module that another thread is loading is waited for (which is
--- interruptible), and loaded once. If that load fails or its thread is killed,
--- the next in turn loads it. Modules that require each other in a cycle, in
--- one thread or in several, get an error that names modules and threads,
--- unless they are in package.loaded already. Otherwise it is the stock one.
---@param names? table<"require", boolean>
---@return green.patches originals  what was there before, by name
function green.monkey_patch(names) end

--- Was that name replaced by monkey_patch? Never switches. Raises when name is
--- no string.
---@param name string
---@return boolean
function green.is_patched(name) end

return green
