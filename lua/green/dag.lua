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
--- crew/dag_nodes.lua has the nodes and the loops over results; here are the
--- tasks and the methods of a graph.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local check = require "green.runtime.check"
local core = require "green.core"
local nodes = require "green.crew.dag_nodes"
local text = require "green.runtime.text"
local ipairs, pairs, select, setmetatable, table, type =
  ipairs, pairs, select, setmetatable, table, type

local OWNED <const> = core.keys.owned

local Dag = {}
local dag_mt = core.metatable "green.dag"
dag_mt.__index = Dag

----------------------------------------------------------------- arguments --

local wrong <const> = check.wrong

local function check_key(key, what)
  if key == nil or key ~= key then wrong(1, what, "key", key) end
end

local function check_keys(keys, n, what)
  if keys == nil then return end
  if type(keys) ~= "table" then wrong(n, what, "table", keys) end
  for _, key in ipairs(keys) do
    if key ~= key then wrong(n, what, "keys", key) end
  end
end

local function check_graph(graph)
  if type(graph) ~= "table" then wrong(1, "spawn_many", "table", graph) end
  for _, keys in pairs(graph) do
    if type(keys) ~= "table" then wrong(1, "spawn_many", "lists", keys) end
    for _, key in ipairs(keys) do
      if key ~= key then wrong(1, "spawn_many", "keys", key) end
    end
  end
end

--------------------------------------------------------------------- tasks --

--- A task is one run of f. If its node was decided by others meanwhile, or
--- belongs to another task, the task's result is dropped.
local Task = {}

--- It belongs to no node if start() could not end.
function Task:__close(err)
  local node = self.node
  if node and node.task == self then
    if err == nil then err = core.interrupted() or "closed by foreign code" end
    nodes.fail(self.dag, node, err)
  end
  if self.results then nodes.leave(self.results) end
end

local function finish(task, ...)
  if task.node.task ~= task then return end
  local outcome = nodes.success(...)
  if task.node.task == task then nodes.decide(task.dag, task.node, outcome) end
end

local function run(task, f, ...)
  local _ <close> = task
  if task.node then finish(task, f(task.node.key, task.results, ...)) end
end

local function is_taken(node)
  return node.task or node.outcome
end

local function taken(key)
  return ("the key '%s' is taken"):format(text.of(key))
end

--- An error of the task belongs to the graph as long as the task is its key's.
--- All that may fail comes first; a thread of no node ends at once. Whoever
--- waits for the node goes on to wait for the event of this task.
local function start(dag, key, depends, f, ...)
  local task = setmetatable({dag = dag, depends = depends, node = false,
    results = false, failure = nodes.new_failure(key)}, Task)
  local t, event = green.spawn(run, task, f, ...), core.event()
  local node = nodes.of(dag, key)
  task.results = nodes.results(dag, depends)
  t.name = "dag " .. text.of(key)
  core.rare(t)[OWNED] = true
  core.send_at_end(event, t)
  if is_taken(node) then -- by a finalizer, while all this was made
    t:cancel()
    return nil, taken(key)
  end
  nodes.want(task.results)
  nodes.tell(node)
  task.node, task.failure.thread = node, t
  node.task, node.thread, node.event = task, t, event
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
  local node = nodes.find(dag, key)
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

--- Runs f(key, results, ...) in a green thread; its results are the key's
--- values. results iterates over the dependencies. Never switches.
---@param key any
---@param depends? any[]  keys; they may have no values or task yet
---@param f function
---@return green.thread
function Dag:spawn(key, depends, f, ...)
  check.self(self, dag_mt, "spawn")
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
  check.self(self, dag_mt, "spawn_many")
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
  local keys = nodes.all(dag)
  for i, node in ipairs(keys) do keys[i] = node.key end
  return keys
end

--- The first values of the keys (all that are known, by default), by key.
--- Raises the first failure when it happens. Interruptible. May switch.
---@param keys? any[]
---@param s? number  time limit in seconds
---@return table?, "timeout"?
function Dag:wait(keys, s)
  check.self(self, dag_mt, "wait")
  check_keys(keys, 1, "wait")
  check.limit(s, 2, "wait")
  local results <close> = nodes.results(self, keys or all_keys(self))
  local values, err = results:wait(s)
  return values, err
end

--- `for key, ok, ... in d:wait_each(keys)`: as they arrive.
---@param keys? any[]
function Dag:wait_each(keys)
  check.self(self, dag_mt, "wait_each")
  check_keys(keys, 1, "wait_each")
  local results = nodes.results(self, keys or all_keys(self))
  return results, nil, nil, results
end

--- Gives a key its value. A key with a task is the task's own, which may post
--- it before it returns. Never switches.
---@param key any
---@param value any
---@param replace? boolean  a value that is there already
function Dag:post(key, value, replace)
  check.self(self, dag_mt, "post")
  check_key(key, "post")
  local node, outcome = nodes.of(self, key), nodes.success(value)
  local mine = node.task and node.thread == green.current()
  if node.task and not mine or node.outcome and not replace then
    check.misuse("%s", taken(key))
  end
  if mine then core.rare(node.thread)[OWNED] = nil end
  nodes.decide(self, node, outcome)
end

--- The values of a key; raises its failure. Never switches.
---@param key any
---@return any ...  or nil, "timeout" when it has none yet
function Dag:get(key)
  check.self(self, dag_mt, "get")
  check_key(key, "get")
  local node = nodes.find(self, key)
  local outcome = node and node.outcome
  if not outcome then return nil, "timeout" end
  if not outcome.ok then nodes.raise(outcome) end
  return select(2, nodes.unpack_outcome(outcome))
end

--- Kills the key's task and forgets its result: the key may be spawned or
--- posted again, and threads that wait for it go on waiting. Never switches.
---@param key any
---@return boolean known
function Dag:kill(key)
  check.self(self, dag_mt, "kill")
  check_key(key, "kill")
  local event, node = core.event(), nodes.find(self, key)
  if not node or not is_taken(node) then return false end
  local thread = node.task and node.thread
  nodes.tell(node)
  node.task, node.thread, node.outcome, node.event = false, false, false, event
  if thread then
    core.rare(thread)[OWNED] = nil -- an error of its clean-up is not ours
    thread:kill("killed by its graph")
  end
  return true
end

--- The keys that are decided, in that order. Never switches.
---@return any[]
function Dag:keys()
  check.self(self, dag_mt, "keys")
  local list = nodes.decided(self)
  for i, node in ipairs(list) do list[i] = node.key end
  return list
end

--- `for key, ok, ... in d:items()`: those that are decided now, in that order.
--- Never switches.
function Dag:items()
  check.self(self, dag_mt, "items")
  local list, outcomes, i = nodes.decided(self), {}, 0
  for n, node in ipairs(list) do outcomes[n] = node.outcome end
  return function()
    repeat i = i + 1 until outcomes[i] ~= false -- killed by a finalizer
    if list[i] then return list[i].key, nodes.unpack_outcome(outcomes[i]) end
  end
end

--- How many tasks have not ended. Never switches.
---@return integer
function Dag:running()
  check.self(self, dag_mt, "running")
  local n = 0
  for _, node in ipairs(nodes.all(self)) do
    if node.task then n = n + 1 end
  end
  return n
end

--- Keys whose values are still to come, of this list.
local function open_ones(dag, keys)
  local open = {}
  for _, key in ipairs(keys) do
    if not dag.nodes[key].outcome then open[#open + 1] = key end
  end
  return open
end

--- The list of keys for which a task still waits. Without a key, such a list
--- for each task that waits for any. Never switches.
---@param key? any
---@return table
function Dag:waiting_for(key)
  check.self(self, dag_mt, "waiting_for")
  if key ~= nil then
    local node = nodes.find(self, key)
    return node and node.task and open_ones(self, node.task.depends) or {}
  end
  local lists = {}
  for _, node in ipairs(nodes.all(self)) do
    local open = node.task and open_ones(self, node.task.depends) or {}
    if #open > 0 then lists[node.key] = open end
  end
  return lists
end

--- How many tasks still wait for a key. Never switches.
---@return integer
function Dag:waiting()
  check.self(self, dag_mt, "waiting")
  local n = 0
  for _ in pairs(self:waiting_for()) do n = n + 1 end
  return n
end

--- A graph, with the values that are there from the start.
---@param preload? table<any, any>
---@return green.dag
return function(preload)
  if preload ~= nil then check.value(preload, "table", 1, "dag") end
  local dag = setmetatable({nodes = {}, known = 0, decided = 0}, dag_mt)
  for key, value in pairs(preload or {}) do
    nodes.decide(dag, nodes.of(dag, key), nodes.success(value))
  end
  return dag
end
