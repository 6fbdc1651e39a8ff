-- jobs.lua - a queue of jobs in Redis, for workers on any number of machines.
--
--   local queue = jobs.queue("thumbs", "10.0.0.5:6379")
--   local id = queue:put "holiday.jpg"
--   print(queue:result(id, 60))
--
--   local worker = queue:work(function(data) return shrink(data) end)
--   worker:wait()
--
-- The queue is a stream with one consumer group. Redis hands each job to one
-- worker and keeps it as pending until that worker settles it. Here are two
-- promises, and what keeps them:
--
-- * A job is done at least once. The worker renews its claim to the jobs that
--   it runs; when it dies, their idle time grows, and another claims them.
-- * It is settled once: a script acknowledges it, deletes it and stores its
--   outcome in one step, and does nothing if it had been acknowledged.
--
-- A job that fails stays pending, too, and is tried again after the same time.
-- After so many deliveries it goes to a stream of dead jobs. Functions raise
-- what lua-redis raises. Redis 6.2 or later is needed.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

-- Debian has lua-redis, which is plain Lua, for versions up to 5.3 only.
if not package.searchpath("redis", package.path) then
  package.path = package.path .. ";/usr/share/lua/5.3/?.lua"
end
local redis = green.import_patched "redis"

-- lua-redis is older than streams.
for _, name in ipairs {"xack", "xadd", "xclaim", "xlen", "xpending", "xrange",
  "xreadgroup"}
do
  redis.commands[name] = redis.command(name)
end

local GROUP <const> = "workers"
local CONNECTIONS <const> = 8  -- of a queue; more calls take turns
local PATIENCE <const> = 10    -- seconds for connecting, and for any reply
local TURN <const> = 1         -- seconds that Redis lets one command block
local RETRY <const> = 0.5      -- seconds until the next try to connect
local RESULT_KEPT <const> = 24 * 3600

local jobs = {}

----------------------------------------------------------------- connections --

--- A client of lua-redis at "host:port" or "unix:/path". Raises.
function jobs.connect(address)
  local path = address:match "^unix:(.+)"
  local host, port = address:match "^(.+):(%d+)$"
  if not (path or host) then
    error("host:port or unix:/path expected, got " .. address, 2)
  end
  local client, err = green.with_timeout(PATIENCE, redis.connect, path
    and {scheme = "unix", path = path} or {host = host, port = port})
  if not client then error(address .. ": " .. err, 0) end
  client.network.socket:settimeout(PATIENCE)
  if host then client.network.socket:setoption("keepalive", true) end
  return client
end

local function disconnect(client)
  client.network.socket:close()
end

--- Calls f with a connection of its own, which ends with it.
local function with_connection(address, f, ...)
  local client = jobs.connect(address)
  local _ <close> = setmetatable({}, {__close = function()
    disconnect(client)
  end})
  return f(client, ...)
end

------------------------------------------------------------------- the queue --

local Queue = {}
Queue.__index = Queue

function jobs.queue(name, address)
  address = address or "127.0.0.1:6379"
  return setmetatable({
    name = name,
    address = address,
    dead_name = name .. ":dead",
    control = name .. ":control",
    connections = green.resource_pool {
      create = function() return jobs.connect(address) end,
      destroy = disconnect,
      check = function(client) return pcall(client.ping, client) end,
      max = CONNECTIONS,
    },
  }, Queue)
end

--- Calls f with a connection of the pool. One that an error or an interruption
--- leaves in the midst of a reply is not used again.
function Queue:with(f)
  local lease <close>, client = self.connections:lease()
  if not lease then error(client, 0) end
  return f(client)
end

function Queue:close()
  self.connections:close()
end

--- Returns the new job's id.
function Queue:put(data)
  return self:with(function(client)
    return client:xadd(self.name, "*", "data", data)
  end)
end

local function result_key(queue, id)
  return queue.name .. ":result:" .. id
end

--- Blocks in Redis for short turns, so that a server that is gone is noticed.
local function await(client, key, stop)
  repeat
    local s = math.max(0.01, math.min(TURN, stop - green.now()))
    local reply = client:blpop(key, ("%.2f"):format(s))
    if reply then return reply[2] end
  until green.now() >= stop
end

--- Waits for a job's outcome: what the handler returned, or nil and the error
--- that made the job a dead one, or nil, "timeout". Only one caller gets it.
--- Those that have to wait do so on a connection of their own.
function Queue:result(id, limit)
  local key, stop = result_key(self, id), green.now() + (limit or math.huge)
  local outcome = self:with(function(client) return client:lpop(key) end)
    or green.now() < stop and with_connection(self.address, await, key, stop)
  if not outcome then return nil, "timeout" end
  local value = outcome:sub(2)
  if outcome:sub(1, 1) == "+" then return value end
  return nil, value
end

--- How many jobs are not settled.
function Queue:length()
  return self:with(function(client) return client:xlen(self.name) end)
end

--- The dead jobs: a list of tables with id, data, error and deliveries.
function Queue:dead()
  local list = self:with(function(client)
    return client:xrange(self.dead_name, "-", "+")
  end)
  for i, entry in ipairs(list) do
    local fields = {}
    for j = 1, #entry[2], 2 do fields[entry[2][j]] = entry[2][j + 1] end
    list[i] = fields
  end
  return list
end

--- Tells all workers to finish what they do and end; returns their number.
function Queue:stop()
  return self:with(function(client)
    return client:publish(self.control, "stop")
  end)
end

--------------------------------------------------------------- claim, settle --

local Worker = {}
Worker.__index = Worker

local function ms(seconds)
  return math.ceil(seconds * 1000)
end

--- An entry of a stream as a job.
local function to_job(entry, deliveries)
  local id, fields = entry[1], entry[2]
  return {id = id, data = fields[2], deliveries = deliveries}
end

--- The next job that nobody has had; nil when there is none for a while.
local function new_job(worker, client)
  local reply = client:xreadgroup("GROUP", GROUP, worker.name, "COUNT", 1,
    "BLOCK", ms(math.min(TURN, worker.idle / 4)),
    "STREAMS", worker.queue.name, ">")
  return reply and to_job(reply[1][2][1], 1)
end

local SETTLE <const> = [[
  local stream, dead, result = unpack(KEYS)
  local group, id, outcome, kept, deliveries = unpack(ARGV)
  if redis.call("XACK", stream, group, id) == 0 then return 0 end
  if outcome:sub(1, 1) == "-" then
    local entry = redis.call("XRANGE", stream, id, id)[1]
    redis.call("XADD", dead, "*", "id", id, "error", outcome:sub(2),
      "deliveries", deliveries, unpack(entry and entry[2] or {}))
  end
  redis.call("XDEL", stream, id)
  redis.call("RPUSH", result, outcome)
  redis.call("EXPIRE", result, kept)
  return 1
]]

--- Ends a job with "+" and its result, or "-" and an error.
local function settle(worker, client, job, outcome)
  local queue = worker.queue
  client:eval(SETTLE, 3, queue.name, queue.dead_name, result_key(queue, job.id),
    GROUP, job.id, outcome, RESULT_KEPT, job.deliveries)
end

--- A job that has been pending for the idle time: its worker has died, or it
--- failed. If several workers see it, Redis lets one claim it. A job that ended
--- its worker each time is not given another one to end.
local function abandoned_job(worker, client)
  if green.now() < worker.look_at then return end
  local pending = client:xpending(worker.queue.name, GROUP, "IDLE",
    ms(worker.idle), "-", "+", 1)[1]
  if not pending then
    worker.look_at = green.now() + worker.idle / 4
    return
  end
  local id, deliveries = pending[1], pending[4]
  local claimed = client:xclaim(worker.queue.name, GROUP, worker.name,
    ms(worker.idle), id)[1]
  if not claimed then return end
  if deliveries < worker.deliveries then
    return to_job(claimed, deliveries + 1)
  end
  settle(worker, client, to_job(claimed, deliveries), "-no worker survived it")
end

---------------------------------------------------------- a worker's threads --

local function perform(worker, client, job)
  worker.running[job.id] = true
  local ok, result = green.pcall(worker.handler, job.data, job)
  worker.running[job.id] = nil
  if ok then
    settle(worker, client, job, "+" .. tostring(result == nil and "" or result))
    worker.done = worker.done + 1
    if worker.done >= worker.most then worker:stop() end
  else
    worker.report(("%s: %s"):format(job.id, result))
    if job.deliveries >= worker.deliveries then
      settle(worker, client, job, "-" .. tostring(result))
    end
  end
end

local function take_jobs(client, worker)
  while not worker.stopping do
    local job = abandoned_job(worker, client) or new_job(worker, client)
    if job then perform(worker, client, job) end
  end
end

--- Renews the claim to all running jobs: their idle time begins again.
local function renew_claims(client, worker)
  for _ in green.ticker(worker.idle / 3) do
    local command = {worker.queue.name, GROUP, worker.name, 0}
    for id in pairs(worker.running) do command[#command + 1] = id end
    if #command > 4 then
      command[#command + 1] = "JUSTID"  -- which counts as no delivery
      client:xclaim(command)
    end
  end
end

local function await_stop(client, worker)
  client.network.socket:settimeout(nil)
  for message in client:pubsub {subscribe = {worker.queue.control}} do
    if message.payload == "stop" then return worker:stop() end
  end
end

-- Makes the group if there is none, and forgets workers that have ended. One
-- that is forgotten too early is known again with its next command.
local JOIN <const> = [=[
  local stream, group = KEYS[1], ARGV[1]
  local made = redis.pcall("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
  if made.err and not made.err:find "BUSYGROUP" then return made end
  for _, info in ipairs(redis.call("XINFO", "CONSUMERS", stream, group)) do
    local worker = {}
    for i = 1, #info, 2 do worker[info[i]] = info[i + 1] end
    if worker.pending == 0 and worker.idle > 60000 then
      redis.call("XGROUP", "DELCONSUMER", stream, group, worker.name)
    end
  end
]=]

--- Runs f on a connection; on another one when that breaks.
local function persist(worker, f)
  repeat
    local ok, err = green.pcall(with_connection, worker.queue.address,
      function(client)
        client:eval(JOIN, 1, worker.queue.name, GROUP)
        return f(client, worker)
      end)
    if not ok then
      worker.report(err)
      green.sleep(RETRY)
    end
  until ok or worker.stopping
end

local function run(worker)
  local _ <close> = green.spawn(persist, worker, renew_claims)
  local _ <close> = green.spawn(persist, worker, await_stop)
  local threads <close> = green.group()
  for _ = 1, worker.threads do threads:spawn(persist, worker, take_jobs) end
  threads:wait()
  return worker.done
end

-------------------------------------------------------------------- a worker --

local defaults <const> = {
  threads = 10,      -- jobs at once, each on a green thread and connection
  idle = 30,         -- seconds without a sign of a job's worker: it is dead
  deliveries = 5,    -- then a job that fails is dead
  most = math.huge,  -- jobs; then the worker stops
  report = function(err) io.stderr:write(tostring(err), "\n") end,
}

--- Starts a worker. `handler(data, job)` returns the result, a string or a
--- number; job has the fields id, data and deliveries. The handler must stand a
--- second call for the same job. Options: those above.
function Queue:work(handler, options)
  local worker = setmetatable({queue = self, handler = handler, running = {},
    done = 0, look_at = 0, stopping = false}, Worker)
  for name, value in pairs(defaults) do
    worker[name] = options and options[name] or value
  end
  worker.name = self:with(function(client)
    return ("worker-%d"):format(client:incr(self.name .. ":workers"))
  end)
  worker.thread = green.spawn(run, worker)
  return worker
end

--- Takes no more jobs; those that run are finished.
function Worker:stop()
  self.stopping = true
end

--- Waits until the worker has stopped; returns the number of jobs it has done.
function Worker:wait(limit)
  return self.thread:wait(limit)
end

--- Drops all; others will claim the jobs that run.
function Worker:kill()
  self.thread:kill()
end

return jobs
