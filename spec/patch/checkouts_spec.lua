-- What a user may rely on: more client libraries run unmodified on green
-- threads, many calls in flight at once. They come from checkouts in the folder
-- that CLIENT_LIBRARIES names (pgmoon, luamqtt, lua-websockets, pegasus.lua,
-- lua-http, lua-nats, haricot, lua-memcached, LuaIRC, raven-lua, lua-requests,
-- telegram-bot-lua, MobDebug: each a folder whose name ends so), and talk to
-- the server that Debian has for them, or to a few lines that stand for one.
-- Missing ones are skipped.

local help = require "spec.help"
local postgres = require "spec.postgres"
local shell = require "spec.shell"

local DIR <const> = os.getenv "CLIENT_LIBRARIES"
local certs = DIR and require "spec.certificates"

local function output(command)
  local p <close> = assert(io.popen(command))
  return p:read "a"
end

local function has(command)
  return (os.execute(("command -v %s >/dev/null 2>&1"):format(command)))
end

--- The folder of a checkout, or nil.
local function find(name)
  local path = DIR and output(("ls -d '%s'/*%s 2>/dev/null"):format(DIR, name))
  return path and path:match "[^\n]+"
end

--- Stands for the functions of Lua 5.1, LuaBitOp and small modules that the
--- clients use beside the network.
local PRELUDE <const> = [[
local green = require "green"
local count = 0
package.preload.uuid = function()
  return setmetatable({seed = function() end}, {__call = function()
    count = count + 1
    return "id-" .. count
  end})
end
package.preload.xml = function() return {} end
package.preload.coxpcall = function()
  return {pcall = pcall, xpcall = xpcall, running = coroutine.running}
end
package.preload.md5 = package.preload.xml
package.preload["multipart-post"] = function()
  return {encode = function(list)
    local out = {}
    for key, value in pairs(list) do out[#out + 1] = key .. "=" .. value end
    table.sort(out)
    return table.concat(out, "&"), "none"
  end}
end
function module(name, seeall)
  local parent, last = _G, name
  for before, rest in name:gmatch "([^.]+)%.(.+)" do
    parent, last = parent[before], rest
  end
  local m = package.loaded[name] or rawget(parent, last) or {}
  m._M, m._NAME = m, name
  parent[last], package.loaded[name] = m, m
  if seeall then seeall(m) end
  assert(debug.setupvalue(debug.getinfo(2, "f").func, 1, m) == "_ENV")
end
socket = require "socket"
local MASK <const> = 0xffffffff
local function signed(x)
  x = x & MASK
  return x >= 1 << 31 and x - (1 << 32) or x
end
package.preload.bit = function()
  return {
    tobit = signed,
    bnot = function(a) return signed(~a) end,
    lshift = function(a, n) return signed(a << (n & 31)) end,
    rshift = function(a, n) return signed((a & MASK) >> (n & 31)) end,
    rol = function(a, n) a = a & MASK return signed(a << n | a >> (32 - n)) end,
    band = function(a, ...)
      for _, b in ipairs {...} do a = a & b end
      return signed(a)
    end,
    bor = function(a, ...)
      for _, b in ipairs {...} do a = a | b end
      return signed(a)
    end,
    bxor = function(a, ...)
      for _, b in ipairs {...} do a = a ~ b end
      return signed(a)
    end,
  }
end
package.preload.mimetypes = function()
  return {guess = function() return "text/plain" end}
end
unpack = table.unpack

--- Runs f(i) in n threads at once, each of which must end well.
local function at_once(n, f)
  local list = {}
  for i = 1, n do list[i] = green.spawn(f, i) end
  for _, t in ipairs(list) do t:wait() end
end

--- Runs f(...) until it is true.
local function until_true(f, ...)
  local limit <close> = green.timeout(20)
  while not f(...) do green.sleep(0.005) end
end

--- A server as Debian has it, on a port that is free just now. The command says
--- $port; the server ends with the program.
local ended = {}
local function daemon(command)
  local l = assert(green.listen("127.0.0.1", 0))
  local port = select(2, l:getsockname())
  l:close()
  local p = io.popen(("unset LD_PRELOAD; port=%d; %s >/dev/null 2>&1 & echo $!")
    :format(port, command))
  local pid = p:read "n"
  p:close()
  ended[#ended + 1] = setmetatable({}, {__gc = function()
    os.execute("kill " .. pid)
  end})
  until_true(function()
    local c <close> = green.connect("127.0.0.1", port)
    return c
  end)
  return port
end

--- The port of a server whose handler gets arrive(), which returns when n
--- connections have called it: no call is answered before all are in flight.
local function serve(n, handler, tls)
  local l = assert(green.listen("127.0.0.1", 0, {tls = tls}))
  local count, all = 0, green.event()
  local function arrive()
    count = count + 1
    if count == n then all:send() end
    all:wait()
  end
  green.spawn_n(green.serve, l, function(conn) handler(conn, arrive) end)
  return (select(2, l:getsockname()))
end

--- The port of a proxy to `port` that opens when n connections have come.
local function gate(n, port)
  return serve(n, function(c, arrive)
    arrive()
    local far <close> = assert(green.connect("127.0.0.1", port))
    local there = green.spawn(c.copy, c, far)
    far:copy(c)
    c:close()
    there:join()
  end)
end

--- The port of a web server: answer(line, headers, body) says what it answers,
--- for each of n requests that are there at once.
local function web(n, answer, tls)
  return serve(n, function(c, arrive)
    local line, headers = c:receive(), {}
    for header in c:lines() do
      if header == "" then break end
      local key, value = header:match "^(.-): *(.*)$"
      headers[key:lower()] = value
    end
    local size = math.tointeger(headers["content-length"] or 0)
    local body = size > 0 and c:receive(size) or ""
    arrive()
    local text = answer(line, headers, body)
    c:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
      .. "Connection: close\r\n\r\n%s"):format(#text, text))
  end, tls)
end
]]

--- The program runs patched, in a process of its own. `as` is a name under
--- which the library requires its own files, and the folder that they are in.
local function runs(name, program, as, folder)
  local path = find(name)
  if not path then return pending(name .. " is not in CLIENT_LIBRARIES") end
  local dir = shell.scratch()
  if as then shell.run("ln -s '%s/%s' %s/%s", path, folder, dir, as) end
  local f <close> = assert(io.open(dir .. "/program.lua", "w"))
  f:write(PRELUDE, program, "\nprint 'all is well'\nos.exit(true, true)\n")
  f:close()
  local paths = {dir .. "/?.lua", dir .. "/?/init.lua"}
  for _, other in ipairs {name, "copas", "timerwheel.lua", "binaryheap.lua"} do
    for _, sub in ipairs {"", "/src"} do
      local at = (find(other) or "") .. sub
      paths[#paths + 1] = ("%s/?.lua;%s/?/init.lua"):format(at, at)
    end
  end
  local said = output(("CERTIFICATES=%s LUA_PATH='%s;'\"$LUA_PATH\" timeout 60 "
    .. "bin/luagreen --patch %s/program.lua 2>&1"):format(
    certs and certs.folder or "", table.concat(paths, ";"), dir))
  shell.run("rm -rf %s", dir)
  assert.matches("all is well", said, 1, true)
end

--- The rows of docs/compatibility.md.
local rows = {}
local function row(name, text, f)
  rows[#rows + 1] = ("| %s | %s |"):format(name, text)
  it(name .. " " .. text, f)
end

describe("Client libraries, patched:", function()
  row("pgmoon", "has 20 queries in flight at once, in PostgreSQL", function()
    if not find "pgmoon" then return pending "pgmoon is not there" end
    local port, _ <close> = help.port()
    local found, stop = postgres.start(port)
    if not found then return pending(stop) end
    local stopped <close> = setmetatable({}, {__close = stop})
    assert(stopped)
    runs("pgmoon", ("local port = %d "):format(port) .. [[
local pgmoon = require "pgmoon"
local began = green.now()
at_once(20, function(i)
  local pg = pgmoon.new {host = "127.0.0.1", port = port, user = "test",
    database = "postgres"}
  assert(pg:connect())
  local rows = assert(pg:query("select pg_sleep(0.5), " .. i .. " as n"))
  assert(rows[1].n == i)
  pg:disconnect()
end)
assert(green.now() - began < 5)]])
  end)

  row("luamqtt", "has 10 clients that hear what they publish", function()
    runs("luamqtt", [[
local mqtt = require "mqtt"
local port = serve(10, function(c, arrive)
  while true do
    local head = c:receive(1)
    if not head then return end
    local size, unit = 0, 1
    repeat
      local byte = c:receive(1):byte()
      size, unit = size + (byte & 127) * unit, unit * 128
    until byte < 128
    local body, kind = size > 0 and c:receive(size) or "", head:byte() >> 4
    if kind == 1 then
      arrive()
      c:send "\x20\2\0\0"
    elseif kind == 3 then
      c:send(head .. string.char(size) .. body)
    elseif kind == 8 then
      c:send("\x90\3" .. body:sub(1, 2) .. "\0")
    end
  end
end)
at_once(10, function(i)
  local client = mqtt.client {uri = "127.0.0.1:" .. port, clean = true,
    id = "c" .. i, version = mqtt.v311}
  local topic, heard = "t/" .. i, nil
  client:on {
    connect = function()
      client:subscribe {topic = topic, qos = 0, callback = function()
        client:publish {topic = topic, payload = "hello " .. i, qos = 0}
      end}
    end,
    message = function(m)
      heard = m.payload
      client:disconnect()
    end,
    error = error,
  }
  mqtt.run_sync(client)
  assert(heard == "hello " .. i)
end)]])
  end)

  row("lua-websockets", "has 50 conversations at once", function()
    runs("lua-websockets", [[
local handshake = require "websocket.handshake"
local frame = require "websocket.frame"
local client = require "websocket.client"
local port = serve(50, function(c, arrive)
  local lines = {}
  for line in c:lines() do
    lines[#lines + 1] = line
    if line == "" then break end
  end
  local request = table.concat(lines, "\r\n") .. "\r\n"
  c:send((handshake.accept_upgrade(request, {"echo"})))
  arrive()
  local data = ""
  for more in c:chunks() do
    data = data .. more
    local text, _, opcode, rest = frame.decode(data)
    if text then
      data = rest or ""
      c:send(frame.encode(text, opcode))
      if opcode == frame.CLOSE then return end
    end
  end
end)
at_once(50, function(i)
  local ws = client.sync {timeout = 20}
  assert(ws:connect("ws://127.0.0.1:" .. port .. "/", "echo"))
  assert(ws:send("hello " .. i))
  assert(ws:receive() == "hello " .. i)
  ws:close()
end)]])
  end)

  row("pegasus.lua", "serves while others run, its own clients too", function()
    runs("pegasus.lua", [[
local pegasus = require "pegasus"
local http = require "socket.http"
local probe = assert(green.listen("127.0.0.1", 0))
local port = select(2, probe:getsockname())
probe:close()
green.spawn_n(function()
  local server = pegasus:new {port = tostring(port), host = "127.0.0.1"}
  server:start(function(request, response)
    response:addHeader("Content-Type", "text/plain")
    response:write("path " .. request:path())
  end)
end)
green.sleep(0.01)
at_once(20, function(i)
  local body, code
  for _ = 1, 200 do -- until it listens
    body, code = http.request(("http://127.0.0.1:%d/%d"):format(port, i))
    if body then break end
    green.sleep(0.01)
  end
  assert(code == 200 and body == "path /" .. i, code)
end)]])
  end)

  row("lua-http",
    "packs and unpacks headers; its sockets are those of cqueues", function()
    runs("lua-http", [[
local hpack, headers = require "http.hpack", require "http.headers"
at_once(10, function(i)
  local h = headers.new()
  h:append(":status", "200")
  h:append("number", tostring(i))
  local out = hpack.new(4096)
  out:encode_headers(h)
  green.sleep(0)
  local back = hpack.new(4096):decode_headers(out:render_data())
  assert(back:get "number" == tostring(i))
end)]])
  end)

  row("lua-nats",
    "has 50 subscribers that all hear each message, at a nats-server",
    function()
    if not has "nats-server" then return pending "no nats-server" end
    runs("lua-nats", [[
local nats = require "nats"
local port = daemon "exec nats-server -a 127.0.0.1 -p $port"
local ready = green.event()
local waiting = 0
green.spawn_n(function()
  until_true(function() return waiting == 50 end)
  local client = nats.connect {host = "127.0.0.1", port = port}
  client:connect()
  for i = 1, 20 do client:publish("news", "number " .. i) end
  client:publish("ask", "are you there?", "answers")
  client:ping()
  ready:send()
end)
at_once(50, function()
  local client = nats.connect {host = "127.0.0.1", port = port}
  client:connect()
  local heard = {}
  client:subscribe("news", function(text) heard[#heard + 1] = text end)
  assert(client:ping())
  waiting = waiting + 1
  client:wait(20)
  for i = 1, 20 do assert(heard[i] == "number " .. i) end
  client:shutdown()
end)
ready:wait()]])
  end)

  row("haricot",
    "has 30 workers that wait for jobs, at a beanstalkd", function()
    if not has "beanstalkd" then return pending "no beanstalkd" end
    runs("haricot", [[
local haricot = require "haricot"
local port = daemon "exec beanstalkd -l 127.0.0.1 -p $port"
local done, waiting = {}, 0
green.spawn_n(function()
  local queue = assert(haricot.new("127.0.0.1", port))
  assert(queue:use "work")
  until_true(function() -- 30 wait, all in "reserve"
    local ok, text = queue:stats_tube "work"
    return ok and text:find "current%-waiting: 30\n"
  end)
  for i = 1, 300 do assert(queue:put(10, 0, 60, "job " .. i)) end
  for _ = 1, 30 do assert(queue:put(20, 0, 60, "end")) end
  queue:disconnect()
end)
at_once(30, function()
  local queue = assert(haricot.new("127.0.0.1", port))
  assert(queue:watch "work")
  while true do
    local ok, job = queue:reserve()
    assert(ok, job)
    assert(queue:delete(job.id))
    if job.data == "end" then break end
    assert(not done[job.data])
    done[job.data] = true
  end
  queue:disconnect()
end)
for i = 1, 300 do assert(done["job " .. i]) end]])
  end)

  row("lua-memcached",
    "has 100 conversations at once, with a memcached", function()
    if not has "memcached" then return pending "no memcached" end
    runs("lua-memcached", [[
local memcached = require "memcached"
local server = daemon "exec memcached -l 127.0.0.1 -p $port -U 0 -u root"
local port = gate(100, server)
local counter = assert(memcached.connect("127.0.0.1", server))
assert(counter:set("count", 0))
at_once(100, function(i)
  local m = assert(memcached.connect("127.0.0.1", port,
    i % 2 == 0 and green.yield or nil)) -- half of them as it waits by itself
  local text = ("%d "):format(i):rep(i * 10)
  assert(m:set("key" .. i, text))
  assert(m:get("key" .. i) == text)
  assert(m:incr("count", 1))
end)
assert(counter:get "count" == "100")]])
  end)

  row("LuaIRC", "has 20 who talk in a channel, at an ngircd", function()
    if not has "ngircd" then return pending "no ngircd" end
    runs("LuaIRC", [[
local irc = require "irc"
local name = os.tmpname()
local f = io.open(name, "w")
f:write "[Global]\nName = irc.example.net\nListen = 127.0.0.1\nPorts = PORT\n"
f:write "[Limits]\nMaxConnectionsIP = 0\n[Options]\nDNS = no\nIdent = no\n"
f:write "PAM = no\n"
f:close()
local port = daemon("sed -i s/PORT/$port/ " .. name
  .. "; exec ngircd -n -f " .. name)
os.remove(name)
local N <const> = 20
local joined, over = 0, 0
at_once(N, function(i)
  local me = irc.new {nick = "bot" .. i}
  local heard, number = {}, 0
  me:hook("OnChat", function(user, channel, text)
    assert(channel == "#green" and not heard[user.nick])
    heard[user.nick], number = text, number + 1
  end)
  me:hook("OnJoin", function(user)
    if user.nick == "bot" .. i then joined = joined + 1 end
  end)
  me:connect("127.0.0.1", port)
  me:join "#green"
  local function think() me:think() return true end
  until_true(function() return think() and joined == N end)
  me:sendChat("#green", "I am bot " .. i)
  until_true(function() return think() and number == N - 1 end)
  for j = 1, N do
    assert(j == i or heard["bot" .. j] == "I am bot " .. j)
  end
  over = over + 1
  until_true(function() return think() and over == N end)
  me:disconnect()
end)]], "irc", "")
  end)

  row("raven-lua", "reports 50 faults at once", function()
    runs("raven-lua", [[
local raven = require "raven"
local sender = require "raven.senders.luasocket"
local json = require "cjson"
local seen = {}
local port = web(50, function(line, headers, body)
  assert(line:find "^POST /api/7/store/ " and headers["x-sentry-auth"])
  seen[json.decode(body).message] = true
  return "{}"
end)
at_once(50, function(i)
  local client = raven.new {sender = sender.new {
    dsn = ("http://public:secret@127.0.0.1:%d/7"):format(port)}}
  assert(client:captureMessage("fault " .. i))
end)
for i = 1, 50 do assert(seen["fault " .. i]) end]])
  end)

  row("lua-requests", "has 50 requests in flight at once", function()
    runs("lua-requests", [[
local requests = require "requests"
local port = web(50, function(line, _, body)
  return ('{"line": "%s", "body": "%s"}'):format(line, #body)
end)
at_once(50, function(i)
  local url = ("http://127.0.0.1:%d/%d"):format(port, i)
  local answer = i % 2 == 0 and requests.get {url, params = {a = i}}
    or requests.post {url, data = ("x"):rep(i)}
  local told = answer.json()
  assert(answer.status_code == 200)
  assert(told.line == (i % 2 == 0 and "GET /%d?a=%d HTTP/1.1"
    or "POST /%d HTTP/1.1"):format(i, i))
  assert(told.body == (i % 2 == 0 and "0" or tostring(i)))
end)]])
  end)

  row("telegram-bot-lua", "has 20 calls in flight at once, by TLS", function()
    if not certs then return pending "no openssl" end
    runs("telegram-bot-lua", [[
local dir = os.getenv "CERTIFICATES"
local port = web(20, function(line, _, body)
  return ('{"ok": true, "result": {"line": "%s", "text": "%s"}}'):format(line,
    body)
end, {certificate = dir .. "/server.pem", key = dir .. "/server-key.pem"})
local config = require "telegram-bot-lua.config"
config.endpoint = ("https://127.0.0.1:%d/bot"):format(port)
local api = require "telegram-bot-lua"
api.token = "123:abc"
at_once(20, function(i)
  local got = assert(api.send_message(i, "hello " .. i))
  assert(got.result.line == "POST /bot123:abc/sendMessage HTTP/1.1")
  assert(got.result.text:find("text=hello " .. i, 1, true))
end)]], "telegram-bot-lua", "src")
  end)

  row("MobDebug", "stops a thread in its hook while the others run", function()
    runs("MobDebug", [[
local mobdebug = require "mobdebug"
local name = os.tmpname()
local f = io.open(name, "w")
f:write "local sum = 0\nfor i = 1, 3 do\n  sum = sum + i\nend\nreturn sum\n"
f:close()
local function say(...) print(...) end
local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()
local ticks, result = 0, nil
green.spawn_n(function()
  while true do green.sleep(0.001) ticks = ticks + 1 end
end)
local debuggee = green.spawn(function()
  mobdebug.start("127.0.0.1", port)
  result = dofile(name)
  mobdebug.done()
end)
local client = listener:accept()
local function tell(command)
  return mobdebug.handle(command, client, {verbose = false})
end
tell "step" -- stopped, it answers all
tell("setb " .. name .. " 3")
local file, line = tell "run"
for i = 1, 3 do
  assert(file == name and line == "3", file)
  local before = ticks
  until_true(function() return ticks > before + 20 end)
  local value = tell "eval i"
  assert(value == tostring(i), value)
  if i == 2 then tell "exec sum = 40" end
  if i == 3 then tell("delb " .. name .. " 3") end
  file, line = tell "run"
end
debuggee:wait()
os.remove(name)
assert(result == 45, result)]])
  end)

  it("docs/compatibility.md has exactly these rows", function()
    assert.same(rows, help.table("docs/compatibility.md", "checkout"))
  end)
end)
