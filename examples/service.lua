-- service.lua - a small key-value store, with a backdoor into it.
--
-- Speaks a part of Redis' protocol: inline commands, as one types them in
-- telnet, and the arrays that its clients send. Keys may expire, and clients
-- may subscribe to channels. The backdoor lets you look into the running
-- service and change it. Ctrl-C ends it in order.
--
--   luagreen examples/service.lua [port [backdoor]]         0: any free one
--   telnet 127.0.0.1 7379                                   then: SET a 1
--   nc -U ./service.sock                                    then: help()
--
-- The backdoor is a Unix socket that only its owner may open, ./service.sock or
-- the path given. A port of the loopback interface, for telnet, can be given as
-- well: every user of the machine can reach that.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local MOST_BYTES <const> = 1024 * 1024  -- of an argument
local MOST_MESSAGES <const> = 1000      -- unsent, to a slow subscriber

local store = {}     -- key -> value
local expiry = {}    -- key -> {at = when it expires, thread = who does it}
local channels = {}  -- name -> set of clients
local clients = {}   -- set
local counts = {clients = 0, commands = 0, expired = 0}
local started = green.now()

-------------------------------------------------------------------- replies --

local function status(text) return "+" .. text .. "\r\n" end
local function integer(n) return (":%d\r\n"):format(n) end
local function failure(text) return "-ERR " .. text .. "\r\n" end

local function bulk(text)
  return text and ("$%d\r\n%s\r\n"):format(#text, text) or "$-1\r\n"
end

local function array(list)
  local parts = {("*%d\r\n"):format(#list)}
  for _, item in ipairs(list) do parts[#parts + 1] = item end
  return table.concat(parts)
end

------------------------------------------------------------------- the data --

local function keep_for_ever(key)
  local e = expiry[key]
  if e then e.thread:cancel() end
  expiry[key] = nil
  return e ~= nil
end

local function remove(key)
  local had = store[key] ~= nil
  keep_for_ever(key)
  store[key] = nil
  return had
end

local function expire(key)
  counts.expired = counts.expired + 1
  store[key], expiry[key] = nil, nil
end

local function expire_after(key, seconds)
  keep_for_ever(key)
  if seconds <= 0 then return expire(key) end
  expiry[key] = {at = green.now() + seconds,
    thread = green.spawn_after(seconds, expire, key)}
end

--- "user:*" as a Lua pattern.
local function pattern(glob)
  return "^" .. glob:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*")
    :gsub("%?", ".") .. "$"
end

------------------------------------------------------- publish and subscribe --

--- Sends published messages to a subscriber, in a thread of its own, so that a
--- slow one delays nobody.
local function deliver(client)
  for message in client.messages:items() do
    if not client.conn:send(message) then return end
  end
end

local function subscribe(client, name)
  if not client.messages then
    client.messages = green.queue(MOST_MESSAGES)
    green.spawn_n(deliver, client)
  end
  channels[name] = channels[name] or {}
  channels[name][client] = true
  client.channels[name] = true
end

local function unsubscribe(client, name)
  local set = channels[name]
  if set then
    set[client] = nil
    if not next(set) then channels[name] = nil end
  end
  client.channels[name] = nil
end

local function publish(name, text)
  local message = array {bulk "message", bulk(name), bulk(text)}
  local n = 0
  for client in pairs(channels[name] or {}) do
    if client.messages:put(message, 0) then
      n = n + 1
    else
      client.conn:close()  -- it does not read
    end
  end
  return n
end

------------------------------------------------------------------- commands --

-- Each has the least and the most number of its arguments, and a function that
-- gets the client and the arguments and returns the reply.
local commands = {}

local function command(name, least, most, f)
  commands[name] = {least = least, most = most, f = f}
end

command("PING", 0, 1, function(_, text)
  return text and bulk(text) or status "PONG"
end)

command("SET", 2, 4, function(_, key, value, option, seconds)
  seconds = tonumber(seconds)
  if option and not (option:upper() == "EX" and seconds and seconds > 0) then
    return failure "syntax error"
  end
  keep_for_ever(key)
  store[key] = value
  if option then expire_after(key, seconds) end
  return status "OK"
end)

command("GET", 1, 1, function(_, key) return bulk(store[key]) end)

command("DEL", 1, math.huge, function(_, ...)
  local n = 0
  for _, key in ipairs {...} do
    if remove(key) then n = n + 1 end
  end
  return integer(n)
end)

command("INCR", 1, 1, function(_, key)
  local n = math.tointeger(tonumber(store[key] or "0"))
  if not n then return failure "value is not an integer" end
  store[key] = ("%d"):format(n + 1)
  return integer(n + 1)
end)

command("KEYS", 1, 1, function(_, glob)
  local like, list = pattern(glob), {}
  for key in pairs(store) do
    if key:find(like) then list[#list + 1] = key end
  end
  table.sort(list)
  for i, key in ipairs(list) do list[i] = bulk(key) end
  return array(list)
end)

command("EXPIRE", 2, 2, function(_, key, seconds)
  seconds = tonumber(seconds)
  if not seconds or seconds ~= seconds then
    return failure "value is not a number of seconds"
  end
  if store[key] == nil then return integer(0) end
  expire_after(key, seconds)
  return integer(1)
end)

command("PERSIST", 1, 1, function(_, key)
  return integer(keep_for_ever(key) and 1 or 0)
end)

command("TTL", 1, 1, function(_, key)
  if store[key] == nil then return integer(-2) end
  local e = expiry[key]
  return integer(e and math.ceil(e.at - green.now()) or -1)
end)

command("SUBSCRIBE", 1, math.huge, function(client, ...)
  local replies = {}
  for i, name in ipairs {...} do
    subscribe(client, name)
    replies[i] = array {bulk "subscribe", bulk(name), integer(i)}
  end
  return table.concat(replies)
end)

command("UNSUBSCRIBE", 1, math.huge, function(client, ...)
  for _, name in ipairs {...} do unsubscribe(client, name) end
  return status "OK"
end)

command("PUBLISH", 2, 2, function(_, name, text)
  return integer(publish(name, text))
end)

command("INFO", 0, 1, function()
  local keys = 0
  for _ in pairs(store) do keys = keys + 1 end
  return bulk(("uptime:%.0f\r\nclients:%d\r\ncommands:%d\r\nkeys:%d\r\n"
    .. "expired:%d\r\ngreen_threads:%d\r\nmemory:%.0f KB"):format(
    green.now() - started, counts.clients, counts.commands, keys,
    counts.expired, green.stats().threads, collectgarbage "count"))
end)

command("QUIT", 0, 0, function(client)
  client.leaving = true
  return status "OK"
end)

local function run(client, words)
  local name = table.remove(words, 1):upper()
  local c = commands[name]
  if not c then return failure(("unknown command '%s'"):format(name)) end
  if #words < c.least or #words > c.most then
    return failure(("wrong number of arguments for '%s'"):format(name))
  end
  counts.commands = counts.commands + 1
  return c.f(client, table.unpack(words))
end

---------------------------------------------------------------- connections --

--- A typed line, in words; "..." is one word.
local function split(line)
  local words, i = {}, 1
  while true do
    local from, to, word = line:find('^%s*"([^"]*)"', i)
    if not from then from, to, word = line:find("^%s*(%S+)", i) end
    if not from then return words end
    words[#words + 1] = word
    i = to + 1
  end
end

--- "*n", of which n arguments follow, each as "$length", bytes and line end.
local function read_array(conn, n)
  local words = {}
  for i = 1, n do
    local size = math.tointeger(tonumber((conn:receive "*l" or ""):match
      "^%$(%d+)$"))
    if not size or size > MOST_BYTES then return nil end
    words[i] = conn:receive(size)
    if not words[i] or not conn:receive "*l" then return nil end
  end
  return words
end

--- The next command of a client; nil when it has left.
local function read_command(conn)
  local line = conn:receive "*l"
  if not line then return nil end
  local n = line:match "^%*(%d%d?%d?)$"
  if n then return read_array(conn, tonumber(n)) end
  return split(line)
end

local function forget(client)
  clients[client] = nil
  counts.clients = counts.clients - 1
  for name in pairs(client.channels) do unsubscribe(client, name) end
  if client.messages then client.messages:close() end
end

local function serve_client(conn)
  local client <close> = setmetatable({conn = conn, channels = {}},
    {__close = forget})
  clients[client] = true
  counts.clients = counts.clients + 1
  for words in read_command, conn do
    if #words > 0 and not conn:send(run(client, words)) then return end
    if client.leaving then return end
  end
end

----------------------------------------------------------------------- main --

local function listen(address, ...)
  local listener, err = green.listen(...)
  if not listener then
    io.stderr:write(("cannot listen on %s: %s\n"):format(address, err))
    os.exit(1, true)
  end
  return listener
end

local function listen_port(port)
  local listener = listen("127.0.0.1:" .. port, "127.0.0.1", port)
  local _, actual = listener:getsockname()
  return listener, "127.0.0.1:" .. actual
end

--- The backdoor's: a port, or the path of a Unix socket.
local function listen_back(where)
  if tonumber(where) then return listen_port(where) end
  return listen(where, "unix:" .. where, nil, {mode = "0600"}), where
end

local function main()
  local listener, address = listen_port(arg[1] or 7379)
  local back, back_address = listen_back(arg[2] or "service.sock")
  print("key-value service on " .. address)
  print("backdoor on " .. back_address)
  io.stdout:flush()
  local backdoor = green.spawn(green.backdoor.server, back, {
    locals = {store = store, clients = clients, channels = channels,
              commands = commands, counts = counts},
    banner = "The key-value service. Look at store, clients, channels, "
      .. "commands, counts; help() says more.\n",
  })
  backdoor.name = "backdoor"
  local ok, err = pcall(green.serve, listener, serve_client)
  if not ok and err ~= "interrupted!" then error(err, 0) end
  listener:close()
  for client in pairs(clients) do
    client.conn:settimeout(0)
    client.conn:send(failure "the service ends")
  end
  green.shutdown(2)
  print(("\nended after %d commands"):format(counts.commands))
end

main()
