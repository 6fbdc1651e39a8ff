-- redis.lua - a Redis client, and a pool of its connections.
--
--   luagreen examples/redis.lua [host:port]
--
-- Without an address it starts a redis-server of its own in a new directory, on
-- a free port of the loopback interface, and stops it in the end.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local THREADS <const>, ROUNDS <const> = 40, 25
local CONNECTIONS <const> = 6
local PATIENCE <const> = 5  -- seconds for a connection, and for a turn

------------------------------------------------------------------ the client --

--- One connection. After an incomplete reply the next bytes are unknown:
--- `broken` is set, and the connection must not be used again.
local Redis = {}
Redis.__index = Redis

local function connect(host, port)
  local conn, err = green.connect(host, port, {timeout = PATIENCE})
  if not conn then return nil, err end
  return setmetatable({conn = conn, broken = false}, Redis)
end

function Redis:close()
  self.conn:close()
end

local function encode(...)
  local parts = {("*%d\r\n"):format(select("#", ...))}
  for _, part in ipairs {...} do
    part = tostring(part)
    parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#part, part)
  end
  return table.concat(parts)
end

local read

local function read_bulk(conn, n)
  if n < 0 then return false end
  local data, err = conn:receive(n + 2)
  if not data then return nil, err end
  return data:sub(1, n)
end

local function read_list(conn, n)
  if n < 0 then return false end
  local list = {}
  for i = 1, n do
    local value, err = read(conn)
    if value == nil then return nil, err end
    list[i] = value
  end
  return list
end

--- A reply: a string, an integer, a list, false for Redis' nil, or a table with
--- the field `err`; nil and why, when the connection failed.
function read(conn)
  local line, err = conn:receive "*l"
  if not line then return nil, err end
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then return rest end
  if kind == "-" then return {err = rest} end
  local n = math.tointeger(tonumber(rest))
  if kind == ":" then return n end
  if kind == "$" then return read_bulk(conn, n) end
  if kind == "*" then return read_list(conn, n) end
  return nil, "not a reply: " .. line
end

--- Sends all commands at once, then reads their replies.
function Redis:pipeline(commands)
  self.broken = true
  local sent, replies = {}, {}
  for i, command in ipairs(commands) do
    sent[i] = encode(table.unpack(command))
  end
  local ok, err = self.conn:send(table.concat(sent))
  if not ok then return nil, err end
  for i = 1, #commands do
    replies[i], err = read(self.conn)
    if replies[i] == nil then return nil, err end
  end
  self.broken = false
  return replies
end

--- One command: its reply, or nil and the error.
function Redis:call(...)
  local replies, err = self:pipeline {{...}}
  if not replies then return nil, err end
  local reply = replies[1]
  if type(reply) == "table" and reply.err then return nil, reply.err end
  return reply
end

-------------------------------------------------------------------- the pool --

local counts = {made = 0, destroyed = 0}

--- A block that an error or a time limit leaves has its connection destroyed;
--- one that the server has cut is found by reset, or by check the next time.
local function new_pool(host, port)
  return green.resource_pool {
    max = CONNECTIONS,
    max_idle = 60,
    create = function()
      local redis, err = connect(host, port)
      if redis then counts.made = counts.made + 1 end
      return redis, err
    end,
    check = function(redis) return redis:call "PING" == "PONG" end,
    reset = function(redis) return not redis.broken end,
    destroy = function(redis)
      counts.destroyed = counts.destroyed + 1
      redis:close()
    end,
  }
end

--- A command on any connection of the pool.
local function command(pool, ...)
  local lease <close>, redis = pool:lease(PATIENCE)
  if not lease then return nil, redis end
  return redis:call(...)
end

--------------------------------------------------------------- what it shows --

local function show(format, ...)
  print(format:format(...))
end

--- Many threads count together, on few connections.
local function count_together(pool)
  assert(command(pool, "DEL", "green:n"))
  local began, ts = green.now(), {}
  for i = 1, THREADS do
    ts[i] = green.spawn(function()
      for _ = 1, ROUNDS do assert(command(pool, "INCR", "green:n")) end
    end)
  end
  for _, t in ipairs(ts) do t:wait() end
  show("%d threads counted to %s on %d connections in %.0f ms", THREADS,
    command(pool, "GET", "green:n"), counts.made, (green.now() - began) * 1e3)
end

--- A reply that comes too late must not be taken for the next command's.
local function time_out(pool)
  local before = counts.destroyed
  local others = green.spawn(count_together, pool)
  local reply, err = green.with_timeout(0.05, command, pool, "BLPOP",
    "green:nothing", 0)
  others:wait()
  assert(command(pool, "PING") == "PONG")
  show("BLPOP: %s; connections destroyed: %d", reply or err,
    counts.destroyed - before)
end

--- The server cuts all connections: check finds them dead, one by one.
local function cut_off(pool)
  local before = counts.made
  local admin <close>, redis = pool:lease()
  assert(admin, redis)
  assert(redis:call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
  assert(command(pool, "PING") == "PONG")
  show("cut off by the server: %d new connection, and it answers",
    counts.made - before)
end

local function pipeline(pool)
  local lease <close>, redis = pool:lease()
  assert(lease, redis)
  local commands, began = {}, green.now()
  for i = 1, 1000 do commands[i] = {"SET", "green:n", i} end
  commands[1001] = {"GET", "green:n"}
  commands[1002] = {"DEL", "green:n"}
  local replies = assert(redis:pipeline(commands))
  show("pipeline: %d commands at once, the last value is %s, %.1f ms",
    #commands, replies[1001], (green.now() - began) * 1e3)
end

------------------------------------------------------------- a server for it --

local Server = {}

--- Stops the server and removes what it left.
function Server:__close()
  local redis = connect(self.host, self.port)
  if redis then
    redis:call("SHUTDOWN", "NOSAVE")
    redis:close()
  end
  os.execute("rm -rf " .. self.directory)
end

local function free_port()
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  return math.tointeger(tonumber(port))
end

local function run(line)
  local pipe <close> = assert(io.popen(line))
  return pipe:read "l"
end

local function await(host, port)
  for _ = 1, 500 do
    local redis, err = connect(host, port)
    if redis then return redis:close() end
    if err ~= "connection refused" then error(err, 0) end
    green.sleep(0.01)
  end
  error("redis-server does not answer", 0)
end

local function start_server()
  if not os.execute "command -v redis-server >/dev/null" then
    io.stderr:write("redis-server is not installed; give a host:port\n")
    os.exit(1, true)
  end
  local server = {host = "127.0.0.1", port = free_port(),
    directory = run "mktemp -d"}
  assert(os.execute(("redis-server --bind 127.0.0.1 --port %d --dir %s "
    .. "--save '' --daemonize yes --logfile log >/dev/null"):format(
    server.port, server.directory)))
  return setmetatable(server, Server)
end

------------------------------------------------------------------------ main --

local function demonstrate(host, port)
  local pool = new_pool(host, port)
  count_together(pool)
  time_out(pool)
  cut_off(pool)
  pipeline(pool)
  pool:close()
  show("%d connections made, %d destroyed", counts.made, counts.destroyed)
end

local host, port = (arg[1] or ""):match "^(.+):(%d+)$"
if arg[1] and not host then
  io.stderr:write("usage: redis.lua [host:port]\n")
  os.exit(2, true)
end
if host then
  demonstrate(host, port)
else
  local server <close> = start_server()
  await(server.host, server.port)
  show("redis-server on %s:%d", server.host, server.port)
  demonstrate(server.host, server.port)
end
