---@meta
-- Groups: threads that do not outlive a block, and waits for many.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- `local g <close> = green.group()`: the end of the block waits for the
--- children. If an error or an interruption ends the block, or is pending at
--- its end, which then raises it, it kills and joins them. A failing child
--- kills the others and interrupts the body, whose calls raise a
--- green.child_failed from then on; the end of the block raises the child's own
--- error. The first error counts, later ones go to green.on_error. A killed
--- child is not a failure. select can wait for a group.
---@class green.group
local Group = {}

--- Never switches. Raises unless n is an integer of at least 1, or math.huge,
--- and outside green threads.
---@param n? number  most children at once; nil: any number
---@return green.group
function green.group(n) end

--- Spawns f(...) as a child. With a bound it waits for room first. Any thread
--- may do it, until the group is closed. May switch, if there is a bound.
--- Interruptible then. Raises as green.spawn, and when the group is closed.
---@param f function
---@param ... any
---@return green.thread
function Group:spawn(f, ...) end

--- Waits until no child lives. Raises the first failure of a child, and in a
--- child of the group. May switch. Interruptible.
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.group, s?: number): nil, "timeout"
function Group:wait(s) end

--- Kills the children that live now, and not the body, as a race does when it
--- ends. Never switches.
---@param reason? any
function Group:kill(reason) end

--- The object that interrupts the body of a group when a child has failed.
---@class green.child_failed
---@field thread green.thread  the child

--- Waits for each thread or event of a list. Raises the first failure when it
--- happens; the other threads go on. May switch. Interruptible. Raises for
--- what is neither thread nor event.
---@param list (green.thread|green.event)[]
---@param s? number  time limit in seconds, for all of it
---@return table results  the first values, with their number as n
---@overload fun(list: table, s?: number): nil, "timeout"
function green.wait_all(list, s) end

--- `for i, ok, ... in green.as_completed(list) do`: threads and events as they
--- end, in pcall's shape; i is the place in the list. The threads go on when
--- the loop is left. The iterator is interruptible and may switch. Raises for
--- what is neither thread nor event.
---@param list (green.thread|green.event)[]
---@return fun(): integer?, boolean?, any iterator
---@return any state
---@return nil
---@return any closing
function green.as_completed(list) end
