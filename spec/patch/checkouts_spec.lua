-- What a user may rely on: more client libraries run unmodified on green
-- threads, many calls in flight at once. They come from checkouts in the folder
-- that CLIENT_LIBRARIES names (pgmoon, luamqtt, lua-websockets, pegasus.lua,
-- lua-http: each a folder whose name ends so); what is not there is skipped.
-- SPDX-License-Identifier: MIT

local DIR <const> = os.getenv "CLIENT_LIBRARIES"

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

--- What the program needs of Lua 5.1 and of LuaBitOp, whatever it requires.
local PRELUDE <const> = [[
local green = require "green"
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

--- The port of a server whose handler gets arrive(), which returns when n
--- connections have called it: no call is answered before all are in flight.
local function serve(n, handler)
  local l = assert(green.listen("127.0.0.1", 0))
  local count, all = 0, green.event()
  local function arrive()
    count = count + 1
    if count == n then all:send() end
    all:wait()
  end
  green.spawn_n(green.serve, l, function(conn) handler(conn, arrive) end)
  return (select(2, l:getsockname()))
end
]]

--- The program runs patched, in a process of its own.
local function runs(name, program, before)
  local path = find(name)
  if not path then return pending(name .. " is not in CLIENT_LIBRARIES") end
  local file = os.tmpname()
  local f <close> = assert(io.open(file, "w"))
  f:write(PRELUDE, program, "\nprint 'all is well'\nos.exit(true, true)\n")
  f:close()
  local paths = {}
  for _, sub in ipairs {"", "/src"} do
    paths[#paths + 1] = ("%s%s/?.lua;%s%s/?/init.lua"):format(path, sub, path,
      sub)
  end
  local said = output(("%s LUA_PATH='%s;'\"$LUA_PATH\" timeout 60 "
    .. "bin/luagreen --patch %s 2>&1"):format(before or "",
    table.concat(paths, ";"), file))
  os.remove(file)
  assert.matches("all is well", said, 1, true)
end

describe("Client libraries, patched:", function()
  it("pgmoon has 20 queries in flight at once", function()
    if not (has "postgres" and os.getenv "PGPORT") then
      return pending "no PostgreSQL at PGHOST and PGPORT"
    end
    runs("pgmoon", [[
local pgmoon = require "pgmoon"
local host, port = os.getenv "PGHOST" or "127.0.0.1", os.getenv "PGPORT"
local began = green.now()
at_once(20, function(i)
  local pg = pgmoon.new {host = host, port = port, user = "postgres",
    database = "postgres"}
  assert(pg:connect())
  local rows = assert(pg:query("select pg_sleep(0.5), " .. i .. " as n"))
  assert(rows[1].n == i)
  pg:disconnect()
end)
assert(green.now() - began < 5)]])
  end)

  it("luamqtt has 10 clients that hear what they publish", function()
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

  it("lua-websockets has 50 conversations at once", function()
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

  it("pegasus serves while others run, its own clients too", function()
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

  it("lua-http packs and unpacks headers", function()
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
end)
