--- The nodes of a graph of tasks (green.dag): keys, their outcomes, and the
--- loops over results that wait for them.
---
--- A node is open until it has an outcome; only kill() opens it again. Each
--- loop has a crew, which watches the events of its nodes. So no result is lost
--- when the loop's thread is interrupted: the next call returns it.
---
--- An event is sent when its node is decided; when the node gets another one,
--- as kill() and a new task give it; and at the latest when the task's thread
--- ends, for which nothing needs memory then. A thread that had none to decide
--- its node leaves that to whoever looks at the node next: settle().
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local core = require "green.core"
local text = require "green.runtime.text"
local error, ipairs, math, pairs, rawget, rawset, setmetatable, table,
  tostring =
  error, ipairs, math, pairs, rawget, rawset, setmetatable, table, tostring

local CAUSE <const> = core.keys.cause
local methods <const> = core.crew_methods
local add <const>, next_of <const> = methods.add, methods.next_of_dag

local nodes = {}

------------------------------------------------------------------ the error --

local error_mt = core.metatable "green.dag_error"

function error_mt:__tostring()
  check.self(self, error_mt, "__tostring")
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

--- The keys from the failed one on, the last of which has the cause. An error
--- knows only the one it came from, so that a long chain of tasks needs no list
--- for each of them.
local function chain_of(err)
  local chain = {}
  while err do
    chain[#chain + 1] = err.key
    err = err.from
  end
  return chain
end

--- chain is made when somebody asks for it.
function error_mt:__index(name)
  if name ~= "chain" or rawget(self, "key") == nil then return nil end
  local chain = chain_of(self)
  rawset(self, name, chain)
  return chain
end

--------------------------------------------------------------------- nodes --

--- Everybody who waits for the node looks again. Runs no finalizers; if it
--- raises, nothing has happened.
function nodes.tell(node)
  local event = node.event
  if not event:ready() then event:send() end
end

--- Gives the node its outcome, which was made before.
function nodes.decide(dag, node, outcome)
  nodes.tell(node)
  dag.decided = dag.decided + 1
  node.outcome, node.order, node.task = outcome, dag.decided, false
end

--- The task of the node has failed.
function nodes.fail(dag, node, err)
  local outcome = node.task.failure
  nodes.set_cause(outcome, err)
  nodes.decide(dag, node, outcome)
end

--- The node, decided if its task's thread could not do so at its end.
local function settle(dag, node)
  local status = node.task and node.thread:status()
  if status == "failed" or status == "killed" then
    local _, err = node.thread:join(0)
    if node.task then nodes.fail(dag, node, err) end
  end
  return node
end

--- The node of a key; nil: nobody has named it.
function nodes.find(dag, key)
  local node = dag.nodes[key]
  return node and settle(dag, node)
end

--- The same, made if need be.
function nodes.of(dag, key)
  local node = nodes.find(dag, key)
  if node then return node end
  node = {key = key, event = core.event(), outcome = false, order = 0,
    task = false, thread = false, wanted = false}
  if dag.nodes[key] then return dag.nodes[key] end -- by a finalizer
  dag.nodes[key] = node
  dag.known = dag.known + 1
  return node
end

--- All nodes. Finalizers that run while the list grows may add some, which
--- spoils the traversal.
function nodes.all(dag)
  local list, known
  repeat
    list, known = {}, dag.known
    for _, node in pairs(dag.nodes) do list[#list + 1] = node end
  until dag.known == known
  for _, node in ipairs(list) do settle(dag, node) end
  return list
end

--- true and the values, or false and the error.
function nodes.unpack_outcome(outcome)
  if outcome.ok then return true, table.unpack(outcome, 1, outcome.n) end
  return false, outcome.failure
end

function nodes.success(...)
  local outcome = table.pack(...)
  outcome.ok = true
  return outcome
end

--- The outcome of a task that fails is made with the task; only its cause is
--- missing.
function nodes.new_failure(key)
  local err = setmetatable({key = key, cause = false, from = false}, error_mt)
  return {ok = false, failure = err, thread = false}
end

--- If the error came from another node, the chain gets longer.
function nodes.set_cause(outcome, err)
  local failure = outcome.failure
  if core.type(err) == "dag_error" then
    failure.cause, failure.from = err.cause, err
  else
    failure.cause = err
  end
end

--- Raises a node's failure; green.traceback follows it to the task's thread.
function nodes.raise(outcome)
  local rare = core.rare()
  if rare and outcome.thread then
    rare[CAUSE] = {outcome.failure, outcome.thread}
  end
  error(outcome.failure, 0)
end

--- Decided nodes, in order of being decided.
function nodes.decided(dag)
  local list = {}
  for _, node in ipairs(nodes.all(dag)) do
    if node.outcome then list[#list + 1] = node end
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
    if not seen[key] then list[#list + 1] = nodes.of(dag, key) end
    seen[key] = true
  end
  return list
end

--- All that may fail leaves the node to the next call.
local function watch(results, node)
  results.missing = node
  results.nodes[add(results.crew, node.event)] = node
  results.missing = false
end

--- The results of these keys.
function nodes.results(dag, keys)
  local list, there, is_there = nodes_of(dag, keys), {}, {}
  local crew = core.crew("green.crew", nil, "watched")
  local results = setmetatable({dag = dag, crew = crew, left = #list,
    events = methods.fields(crew), list = list, nodes = {}, missing = false,
    values = {}}, results_mt)
  for _, node in ipairs(list) do
    if node.outcome then
      there[#there + 1] = node
      is_there[node] = true
    end
  end
  table.sort(there, function(a, b) return a.order < b.order end)
  for _, node in ipairs(there) do watch(results, node) end
  for _, node in ipairs(list) do
    if not is_there[node] then watch(results, node) end
  end
  return results
end

--- A task waits for these. From now on a task for one of them may close a
--- cycle.
function nodes.want(results)
  for _, node in ipairs(results.list) do node.wanted = true end
end

--- The next node and its outcome; nil at the end, nil and "timeout" at the
--- deadline.
local function next_node(results, deadline)
  while results.left > 0 do
    if results.missing then watch(results, results.missing) end
    local i, err = next_of(results.crew, deadline and deadline - core.now())
    if not i then return nil, err end
    local node = results.nodes[i]
    results.missing = node or false
    results.nodes[i], results.events[i] = nil, nil
    if node and settle(results.dag, node).outcome then
      results.missing, results.left = false, results.left - 1
      return node, node.outcome
    end
  end
end

function results_mt:__call()
  check.self(self, results_mt, "__call")
  if self.left == 0 then core.checkpoint() end
  local node, outcome = next_node(self)
  if node then return node.key, nodes.unpack_outcome(outcome) end
end

--- Takes a loop that is left early off the nodes it waited for.
function nodes.leave(results)
  methods.let_go(results.crew)
end

function results_mt:__close()
  check.self(self, results_mt, "__close")
  nodes.leave(self)
end
results_mt.__gc = results_mt.__close

--- The first values, by key; raises the first failure when it happens. Results
--- that arrived before a limit or an interruption are there at the next call.
--- Interruptible. May switch.
---@param s? number  time limit in seconds
---@return table?, "timeout"?
function Results:wait(s)
  check.self(self, results_mt, "wait")
  s = check.limit(s, 1, "wait")
  local deadline = s and (s > 0 and core.now() + s or -math.huge)
  if self.left == 0 and deadline ~= -math.huge then core.checkpoint() end
  while self.left > 0 do
    local node, outcome = next_node(self, deadline)
    if not node then return nil, outcome end
    if not outcome.ok then nodes.raise(outcome) end
    self.values[node.key] = outcome[1]
  end
  return self.values
end

return nodes
