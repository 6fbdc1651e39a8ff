---@meta
-- Errors: their handler, their objects, and their text.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- Sets the handler of errors that nobody waits for: f(err, thread), in a green
--- thread of its own; it may block. By default they are printed to stderr. Call
--- it: an assignment to green.on_error sets no handler. Never switches. Raises
--- when f is not callable.
---@param f? function
---@return function former  the handler so far
function green.on_error(f) end

--- For xpcall: the error as text, with the traceback of its place and its
--- causes in other threads. Never switches.
---@param err? any
---@return string
function green.traceback(err) end

--- Is it the end of a time limit: any timeout object, or the string "timeout"?
--- Never switches.
---@param err any
---@return boolean
function green.is_timeout(err) end

--- The object that the blocking calls of a killed thread raise.
---@class green.killed
---@field reason any
---@field where string    place of the kill, "file:line"
---@field thread integer  id

--- Raised once in main, when nothing can ever wake any thread.
---@class green.deadlock
---@field threads green.stuck[]
---@field at number       when nothing was left to wait for: as green.now()
---@field cycle? string  threads that join each other: "#2 -> #3 -> #2"

---@class green.stuck
---@field id integer
---@field name string
---@field what string
---@field since number   seconds, as green.now()
---@field where? string  "file:line"
