--- Tasks that depend on each other's results: a graph without cycles, of keys.
---
--- `green.dag` is a constructor. A key gets a node when it is first named, even
--- if only as something to wait for. A node is open until it has values or an
--- error; only kill() opens it again. All tasks start at once; a task waits for
--- its dependencies only when it asks for them:
---
---   local d = green.dag {base = 1}
---   d:spawn("sum", {"base", "other"}, function(key, results)
---     local sum = 0
---     for name, ok, value in results do ... end  -- as they arrive
---     return sum
---   end)
---
--- Results come one by one because a task may begin with those that are there,
--- and as pcall returns them because a failure need not end the others. A task
--- that needs neither calls results:wait(), which returns a table or raises.
---
--- Each loop has a queue of its own, into which a node puts itself when it is
--- decided. So no result is lost when the loop's thread is interrupted: the
--- next call returns it.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local check = require "green.runtime.check"
local core = require "green.core"
local text = require "green.runtime.text"
local error, ipairs, math, pairs, select, setmetatable, table,
  tostring, type =
  error, ipairs, math, pairs, select, setmetatable, table, tostring,
  type

local CAUSE <const>, OWNED <const> = core.keys.cause, core.keys.owned

------------------------------------------------------------------ the error --

local error_mt = core.metatable "green.dag_error"

function error_mt:__tostring()
  local names = {}
  for i, key in ipairs(self.chain) do names[i] = text.of(key) end
  return ("dag: %s failed: %s"):format(table.concat(names, " <- "),
    text.of(self.cause))
end

text.declare(error_mt.__tostring, function(err)
  for _, key in ipairs(err.chain) do
    if not text.is_safe(key) then return key end
  end
  return err.cause
end)

function error_mt.__concat(a, b)
  return tostring(a) .. tostring(b)
end

--- The error for the tasks that depend on a node. If the node's own error came
--- from another one, the chain gets longer.
local function dag_error(key, err)
  local chain, cause = {key}, err
  if core.type(err) == "dag_error" then
    table.move(err.chain, 1, #err.chain, 2, chain)
    cause = err.cause
  end
  return setmetatable({key = key, chain = chain, cause = cause}, error_mt)
end

----------------------------------------------------------------- arguments --

local function bad(n, what, expected, got)
  check.bad(n, what, "%s expected, got %s", expected,
    got ~= got and "NaN" or type(got))
end

local function check_key(key, what)
  if key == nil or key ~= key then bad(1, what, "key", key) end
end

local function check_keys(keys, n, what)
  if keys == nil then return end
  if type(keys) ~= "table" then bad(n, what, "table", keys) end
  for _, key in ipairs(keys) do
    if key ~= key then bad(n, what, "keys", key) end
  end
end

local function check_graph(graph)
  if type(graph) ~= "table" then bad(1, "spawn_many", "table", graph) end
  for _, keys in pairs(graph) do
    if type(keys) ~= "table" then bad(1, "spawn_many", "lists", keys) end
    for _, key in ipairs(keys) do
      if key ~= key then bad(1, "spawn_many", "keys", key) end
    end
  end
end

--------------------------------------------------------------------- nodes --

local Dag = {}
local dag_mt = core.metatable "green.dag"
dag_mt.__index = Dag

--- The loops that wait for a node, in the order in which they came. One that
--- leaves makes a hole; where most are holes, the others close up.
local Listeners = {}
Listeners.__index = Listeners

local function new_listeners()
  return setmetatable({at = {}, last = 0, n = 0}, Listeners)
end

function Listeners:add(queue)
  local i = self.last + 1
  self[i], self.at[queue] = queue, i
  self.last, self.n = i, self.n + 1
end

function Listeners:close_up()
  local to = 0
  for from = 1, self.last do
    local queue = self[from]
    self[from] = nil
    if queue then
      to = to + 1
      self[to], self.at[queue] = queue, to
    end
  end
  self.last = to
  assert(to == self.n)
end

--- Nothing happens if it is not there.
function Listeners:remove(queue)
  local i = self.at[queue]
  if not i then return end
  self[i], self.at[queue] = false, nil
  self.n = self.n - 1
  if self.n * 2 < self.last then self:close_up() end
end

--- Tells them all of the node.
function Listeners:tell(node)
  for i = 1, self.last do
    if self[i] then self[i]:put(node, 0) end
  end
end

--- The node of a key, made if need be.
local function node_of(dag, key)
  local node = dag.nodes[key]
  if not node then
    node = {key = key, listeners = new_listeners()}
    dag.nodes[key] = node
  end
  return node
end

--- Gives the node its values or its error, and tells all loops that wait for
--- it.
local function decide(dag, node, ok, ...)
  node.ok, node.task = ok, nil
  if ok then
    node.values, node.thread = table.pack(...), nil
  else
    node.failure = dag_error(node.key, (...))
  end
  dag.decided = dag.decided + 1
  node.order = dag.decided
  local listeners = node.listeners
  node.listeners = new_listeners()
  listeners:tell(node)
end

--- true and the values, or false and the error.
local function outcome(node)
  if node.ok then
    return true, table.unpack(node.values, 1, node.values.n)
  end
  return false, node.failure
end

--- Raises a node's failure; green.traceback follows it to the task's thread.
local function raise(node)
  local rare = core.rare()
  if rare and node.thread then rare[CAUSE] = {node.failure, node.thread} end
  error(node.failure, 0)
end

--- Decided nodes, in order of being decided.
local function decided(dag)
  local list = {}
  for _, node in pairs(dag.nodes) do
    if node.ok ~= nil then list[#list + 1] = node end
  end
  table.sort(list, function(a, b) return a.order < b.order end)
  return list
end

------------------------------------------------------------------- results --

--- The results of some keys, one by one: an object that is also an iterator for
--- the generic for.
local Results = {}
local results_mt = core.metatable "green.dag_results"
results_mt.__index = Results

--- One for each different key.
local function nodes_of(dag, keys)
  local list, seen = {}, {}
  for _, key in ipairs(keys) do
    if not seen[key] then list[#list + 1] = node_of(dag, key) end
    seen[key] = true
  end
  return list
end

local function results_of(dag, keys)
  local queue, there, nodes = core.queue(), {}, nodes_of(dag, keys)
  for _, node in ipairs(nodes) do
    if node.ok ~= nil then
      there[#there + 1] = node
    else
      node.listeners:add(queue)
    end
  end
  table.sort(there, function(a, b) return a.order < b.order end)
  for _, node in ipairs(there) do queue:put(node, 0) end
  return setmetatable({queue = queue, left = #nodes, nodes = nodes,
    values = {}}, results_mt)
end

--- The next node; nil at the end, nil and "timeout" at the deadline.
local function next_node(results, deadline)
  while results.left > 0 do
    local node, err = core.result_get(results.queue,
      deadline and deadline - core.now())
    if not node then return nil, err end
    if node.ok ~= nil then
      results.left = results.left - 1
      return node
    end
    node.listeners:add(results.queue) -- killed in the meantime
  end
end

function results_mt:__call()
  if self.left == 0 then core.checkpoint() end
  local node = next_node(self)
  if node then return node.key, outcome(node) end
end

--- Takes a loop that is left early off the nodes it waited for.
function results_mt:__close()
  for _, node in ipairs(self.nodes) do node.listeners:remove(self.queue) end
end

--- The first values, by key; raises the first failure when it happens. Results
--- that arrived before a limit or an interruption are there at the next call.
--- Interruptible. May switch.
---@param s? number  time limit in seconds
---@return table?, "timeout"?
function Results:wait(s)
  s = check.limit(s, 1, "wait")
  local deadline = s and (s > 0 and core.now() + s or -math.huge)
  if self.left == 0 and deadline ~= -math.huge then core.checkpoint() end
  while self.left > 0 do
    local node, err = next_node(self, deadline)
    if not node then return nil, err end
    if not node.ok then raise(node) end
    self.values[node.key] = node.values[1]
  end
  return self.values
end

--------------------------------------------------------------------- tasks --

--- A task is one run of f. If its node was decided by others meanwhile, or
--- belongs to another task, the task's result is dropped.
local Task = {}

function Task:__close(err)
  results_mt.__close(self.results)
  if self.node.task ~= self then return end
  if err == nil then err = core.interrupted() or "closed by foreign code" end
  decide(self.dag, self.node, false, err)
end

local function finish(task, ...)
  if task.node.task == task then decide(task.dag, task.node, true, ...) end
end

--- The task was killed, or thrown into, before it ran.
local function never_ran(t, task)
  local _, err = t:join(0)
  Task.__close(task, err)
end

local function run(task, f, ...)
  if not task.node then return end -- memory ran short in start
  green.current():unlink(never_ran)
  local _ <close> = task
  finish(task, f(task.node.key, task.results, ...))
end

local function is_taken(node)
  return node.task or node.ok ~= nil
end

local function taken(key)
  return ("the key '%s' is taken"):format(text.of(key))
end

--- An error of the task belongs to the graph as long as the task is its key's.
local function start(dag, key, depends, f, ...)
  local task = setmetatable({dag = dag, depends = depends}, Task)
  local t = green.spawn(run, task, f, ...) -- nothing has happened if it raises
  local node = node_of(dag, key)
  task.node, task.results = node, results_of(dag, depends)
  for _, other in ipairs(task.results.nodes) do other.wanted = true end
  t.name = "dag " .. text.of(key)
  core.rare(t)[OWNED] = true
  t:link(never_ran, task)
  if is_taken(node) then -- by a finalizer, while all this was made
    t:cancel()
    return nil, taken(key)
  end
  node.task, node.thread = task, t
  return t
end

--- The way from `from` to `to` along dependencies, or nil.
local function way(dag, from, to, path)
  path[#path + 1] = from
  if from == to then return path end
  local node = dag.nodes[from]
  if node and node.task and not path[node] then
    path[node] = true
    for _, key in ipairs(node.task.depends) do
      local found = way(dag, key, to, path)
      if found then return found end
    end
  end
  path[#path] = nil
end

--- The reason why a key cannot be spawned, or nil. No cycle can close at a key
--- on which no task depends, so a long chain is spawned quickly from its
--- beginning.
local function refusal(dag, key, depends)
  local node = dag.nodes[key]
  if node and is_taken(node) then return taken(key) end
  local wanted = node and node.wanted
  for _, from in ipairs(depends) do
    local path = (wanted or from == key) and way(dag, from, key, {key})
    if path then
      for i, name in ipairs(path) do path[i] = text.of(name) end
      return "a cycle of dependencies: " .. table.concat(path, " <- ")
    end
  end
end

----------------------------------------------------------------- the methods --

--- Runs f(key, results, ...) in a green thread; what it returns are the values
--- of the key. results iterates over the dependencies. Never switches.
---@param key any
---@param depends? any[]  keys; they may have no values or task yet
---@param f function
---@return green.thread
function Dag:spawn(key, depends, f, ...)
  check_key(key, "spawn")
  check_keys(depends, 2, "spawn")
  check.callable(f, 3, "spawn")
  depends = {table.unpack(depends or {})}
  local problem = refusal(self, key, depends)
  if problem then check.misuse("%s", problem) end
  local t
  t, problem = start(self, key, depends, f, ...)
  if not t then check.misuse("%s", problem) end
  return t
end

--- Keys that were spawned, of a loop that may end with an error.
local AllOrNone = {}

function AllOrNone:__close(err)
  if err == nil then return end
  for _, key in ipairs(self) do self.dag:kill(key) end
end

--- spawn for each key of a table of dependencies; all or none. Never switches.
---@param graph table<any, any[]>
---@param f function
function Dag:spawn_many(graph, f, ...)
  check_graph(graph)
  check.callable(f, 2, "spawn_many")
  local all <close> = setmetatable({dag = self}, AllOrNone)
  for key, depends in pairs(graph) do
    local problem = refusal(self, key, depends)
    if problem then check.misuse("%s", problem) end
    self:spawn(key, depends, f, ...)
    all[#all + 1] = key
  end
end

--- All keys that have been named.
local function all_keys(dag)
  local keys = {}
  for key in pairs(dag.nodes) do keys[#keys + 1] = key end
  return keys
end

--- The first values of the keys (all that are known, by default), by key.
--- Raises the first failure when it happens. Interruptible. May switch.
---@param keys? any[]
---@param s? number  time limit in seconds
---@return table?, "timeout"?
function Dag:wait(keys, s)
  check_keys(keys, 1, "wait")
  check.limit(s, 2, "wait")
  local results <close> = results_of(self, keys or all_keys(self))
  local values, err = results:wait(s)
  return values, err
end

--- `for key, ok, ... in d:wait_each(keys)`: as they arrive.
---@param keys? any[]
function Dag:wait_each(keys)
  check_keys(keys, 1, "wait_each")
  local results = results_of(self, keys or all_keys(self))
  return results, nil, nil, results
end

--- Gives a key its value. A key with a task is the task's own, which may post
--- it before it returns. Never switches.
---@param key any
---@param value any
---@param replace? boolean  a value that is there already
function Dag:post(key, value, replace)
  check_key(key, "post")
  local node = node_of(self, key)
  local mine = node.task and node.thread == green.current()
  if node.task and not mine or node.ok ~= nil and not replace then
    check.misuse("%s", taken(key))
  end
  if mine then core.rare(node.thread)[OWNED] = nil end
  node.failure = nil
  decide(self, node, true, value)
end

--- The values of a key; raises its failure. Never switches.
---@param key any
---@return any ...  or nil, "timeout" when it has none yet
function Dag:get(key)
  check_key(key, "get")
  local node = self.nodes[key]
  if not node or node.ok == nil then return nil, "timeout" end
  if not node.ok then raise(node) end
  return select(2, outcome(node))
end

--- Kills the key's task and forgets its result: the key may be spawned or
--- posted again, and threads that wait for it go on waiting. Never switches.
---@param key any
---@return boolean known
function Dag:kill(key)
  check_key(key, "kill")
  local node = self.nodes[key]
  if not node or not node.task and node.ok == nil then return false end
  local thread = node.task and node.thread
  node.task, node.thread, node.ok = nil, nil, nil
  node.values, node.failure = nil, nil
  if thread then
    core.rare(thread)[OWNED] = nil -- what its clean-up fails with is not ours
    thread:kill("killed by its graph")
  end
  return true
end

--- The keys that are decided, in that order. Never switches.
---@return any[]
function Dag:keys()
  local list = decided(self)
  for i, node in ipairs(list) do list[i] = node.key end
  return list
end

--- `for key, ok, ... in d:items()`: those that are decided now, in that order.
--- Never switches.
function Dag:items()
  local list, i = decided(self), 0
  return function()
    i = i + 1
    if list[i] then return list[i].key, outcome(list[i]) end
  end
end

--- How many tasks have not ended. Never switches.
---@return integer
function Dag:running()
  local n = 0
  for _, node in pairs(self.nodes) do
    if node.task then n = n + 1 end
  end
  return n
end

--- Those of the keys that are open.
local function open_ones(dag, keys)
  local open = {}
  for _, key in ipairs(keys) do
    if dag.nodes[key].ok == nil then open[#open + 1] = key end
  end
  return open
end

--- The list of keys for which a task still waits. Without a key, such a list
--- for each task that waits for any. Never switches.
---@param key? any
---@return table
function Dag:waiting_for(key)
  if key ~= nil then
    local node = self.nodes[key]
    return node and node.task and open_ones(self, node.task.depends) or {}
  end
  local lists = {}
  for name, node in pairs(self.nodes) do
    local open = node.task and open_ones(self, node.task.depends) or {}
    if #open > 0 then lists[name] = open end
  end
  return lists
end

--- How many tasks still wait for a key. Never switches.
---@return integer
function Dag:waiting()
  local n = 0
  for _ in pairs(self:waiting_for()) do n = n + 1 end
  return n
end

--- A graph, with the values that are there from the start.
---@param preload? table<any, any>
---@return green.dag
return function(preload)
  if preload ~= nil then check.value(preload, "table", 1, "dag") end
  local dag = setmetatable({nodes = {}, decided = 0}, dag_mt)
  for key, value in pairs(preload or {}) do
    decide(dag, node_of(dag, key), true, value)
  end
  return dag
end
