---@meta green.dag
-- Tasks that depend on each other's results: green.dag(preload) makes a graph,
-- with values for the keys of a table. The module is loaded on first use;
-- `local dag = require "green.dag"` gives the same function.
--
--     local d = green.dag {width = 2}
--     d:spawn("area", {"width", "height"}, function(key, results)
--       local values = results:wait()
--       return values.width * values.height
--     end)
--     d:spawn("height", nil, measure)
--     print(d:wait({"area"}).area)
--
-- A key is any value but nil and NaN. It may be named, to depend on it or to
-- wait for it, before it has a task. All tasks start at once, and wait for what
-- they depend on when they ask for it. An error of a task belongs to the graph,
-- not to green.on_error: who asks for the key gets a green.dag_error.
--
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 211 212 241

---@class green
local green = {}

--- A graph, with the values that are there from the start. Never switches.
---@param preload? table<any, any>
---@return green.dag
function green.dag(preload) end

--- A graph of tasks.
---@class green.dag
local Dag = {}

--- Runs f(key, results, ...) in a new green thread; its results are the values
--- of the key. Never switches. Raises when the key is taken, and when the tasks
--- would depend on each other in a cycle.
---@param key any
---@param depends? any[]  keys
---@param f function
---@param ... any
---@return green.thread
function Dag:spawn(key, depends, f, ...) end

--- spawn for each key of a table, whose value lists the keys that it depends
--- on; all or none. Never switches. Raises as spawn.
---@param graph table<any, any[]>
---@param f function
---@param ... any
function Dag:spawn_many(graph, f, ...) end

--- Waits for keys; the first value of each, by key. Raises the first failure
--- when it happens. Interruptible. May switch.
---@param keys? any[]  all that anybody has named, by default
---@param s? number  time limit in seconds
---@return table<any, any>
---@overload fun(self: green.dag, keys?: any[], s?: number): nil, "timeout"
function Dag:wait(keys, s) end

--- `for key, ok, ... in d:wait_each(keys)`: the values of each key, or false
--- and its error, as they arrive; present ones come first. Never switches; the
--- iterator is interruptible and may.
---@param keys? any[]  all that anybody has named, by default
---@return green.dag_results
---@return nil
---@return nil
---@return green.dag_results closing  for the loop
function Dag:wait_each(keys) end

--- Gives a key its value. The key of a task belongs to the task: it may post
--- the value before it returns, and its results are dropped then. Never
--- switches. Raises when the key is another task's, or has values already and
--- replace is not true.
---@param key any
---@param value any
---@param replace? boolean
function Dag:post(key, value, replace) end

--- The values of a key, or nil and "timeout" when it has none yet. Raises its
--- failure. Never switches.
---@param key any
---@return any ...
---@overload fun(self: green.dag, key: any): nil, "timeout"
function Dag:get(key) end

--- Kills the task of a key, and forgets the key's values: it may be spawned or
--- posted again, and threads that wait for it go on waiting. False if there was
--- nothing. Never switches.
---@param key any
---@return boolean
function Dag:kill(key) end

--- The keys that have values or failed, in that order. Never switches.
---@return any[]
function Dag:keys() end

--- `for key, ok, ... in d:items()`: the keys that have a value or
--- have failed by now, in that order. Never switches.
---@return fun(): any, boolean, any
function Dag:items() end

--- How many tasks have not ended. Never switches.
---@return integer
function Dag:running() end

--- How many tasks depend on keys that are still open. Never switches.
---@return integer
function Dag:waiting() end

--- The open keys that a task depends on; without a key, a table of such lists,
--- for each task that has any. Shows why a graph hangs. Never switches.
---@param key? any
---@return table
function Dag:waiting_for(key) end

--- The results that a task depends on: `for key, ok, ... in results`. Each
--- comes once, as it arrives; after an interruption, a loop or a call of
--- results() goes on with the missing ones. The iterator is interruptible and
--- may switch. Results come one by one, because a task may begin with those
--- that are there, and in pcall's shape, because it need not fail when one of
--- them did.
---@class green.dag_results
---@operator call: any
local Results = {}

--- The first value of each key that has not come yet, by key. Raises the first
--- failure when it happens. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return table<any, any>
---@overload fun(self: green.dag_results, s?: number): nil, "timeout"
function Results:wait(s) end

--- The failure of a key. It can be printed and joined to a string: "dag: c <- b
--- <- a failed: <cause>" says that c failed with b's error, and b with a's.
---@class green.dag_error
---@field key any  the one that was asked for
---@field chain any[]  from it to the one that failed by itself
---@field cause any  what the latter's task raised

return Dag
