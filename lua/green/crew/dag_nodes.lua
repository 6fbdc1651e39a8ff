--- The nodes of a graph of tasks (green.dag): keys, their outcomes, and the
--- loops over results that wait for them.
---
--- A node is open until it has an outcome; only kill() opens it again. Each
--- loop has a queue of its own, into which a node puts itself when it is
--- decided. So no result is lost when the loop's thread is interrupted: the
--- next call returns it.
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

--- A loop that waits for a node stands in the node's list by a link, which
--- leaves it at once, wherever it stands: {its queue, the node, previous and
--- next link}. All fields of links and nodes are made with them, so that
--- nothing that happens later allocates, and neither can fail nor be overtaken
--- by a finalizer.
local QUEUE <const>, NODE <const>, PREV <const>, NEXT <const> = 1, 2, 3, 4

local function is_listed(link) return link[NEXT] ~= false end

local function enlist(link)
  local head = link[NODE].listeners
  local last = head[PREV]
  link[PREV], link[NEXT] = last, head
  last[NEXT], head[PREV] = link, link
end

local function delist(link)
  link[PREV][NEXT], link[NEXT][PREV] = link[NEXT], link[PREV]
  link[PREV], link[NEXT] = false, false
end

--- The node of a key, made if need be.
function nodes.of(dag, key)
  local node = dag.nodes[key]
  if node then return node end
  local head = {false, false, false, false}
  head[PREV], head[NEXT] = head, head
  node = {key = key, listeners = head, outcome = false, order = 0,
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
  return list
end

--- Gives the node its outcome, which was made before, and tells all loops that
--- wait for it, in the order in which they came.
function nodes.decide(dag, node, outcome)
  dag.decided = dag.decided + 1
  node.outcome, node.order, node.task = outcome, dag.decided, false
  local head = node.listeners
  while head[NEXT] ~= head and node.outcome == outcome do
    local link = head[NEXT]
    delist(link)
    link[QUEUE]:put(link, 0) -- there is room: nodes.results()
  end
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

--- A queue in which n values have room: putting them needs no memory.
local function queue_for(n)
  local queue = core.queue()
  for _ = 1, n do queue:put(false, 0) end
  queue:clear()
  return queue
end

--- The results of these keys.
function nodes.results(dag, keys)
  local list, links, there = nodes_of(dag, keys), {}, {}
  local queue = queue_for(#list)
  for i, node in ipairs(list) do
    local link = {queue, node, false, false}
    links[i] = link
    if node.outcome then there[#there + 1] = link else enlist(link) end
  end
  table.sort(there, function(a, b) return a[NODE].order < b[NODE].order end)
  for _, link in ipairs(there) do queue:put(link, 0) end
  return setmetatable({queue = queue, left = #list, links = links,
    values = {}}, results_mt)
end

--- A task waits for these. From now on a task for one of them may close a
--- cycle.
function nodes.want(results)
  for _, link in ipairs(results.links) do link[NODE].wanted = true end
end

--- The next node and its outcome; nil at the end, nil and "timeout" at the
--- deadline.
local function next_node(results, deadline)
  while results.left > 0 do
    local link, err = core.result_get(results.queue,
      deadline and deadline - core.now())
    if not link then return nil, err end
    local node = link[NODE]
    if node.outcome then
      results.left = results.left - 1
      return node, node.outcome
    end
    enlist(link) -- killed in the meantime
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
  for _, link in ipairs(results.links) do
    if is_listed(link) then delist(link) end
  end
end

function results_mt:__close()
  check.self(self, results_mt, "__close")
  nodes.leave(self)
end

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
