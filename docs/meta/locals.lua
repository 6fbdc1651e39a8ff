---@meta
-- Fields that belong to a green thread.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- An object whose fields each green thread has for itself: the others do not
--- see what one sets. It takes any key and value that a table takes; pairs()
--- goes through the calling thread's fields. The coroutines of a thread share
--- its fields. They end with the thread, and with the object. Reading and
--- setting never switch, and raise outside green threads.
---@class green.locals

--- Makes one. With inherit, a thread that is spawned (spawn, spawn_n,
--- spawn_after, spawn_after_local) gets a shallow copy of its spawner's fields
--- as they are at that call; links and green.on_error do not. Never switches.
--- Raises when inherit is not a boolean.
---@param inherit? boolean  false by default
---@return green.locals
function green.locals(inherit) end

return green
