-- Each example does what it says.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local terminal = require "spec.terminal"

local function output(command)
  local p = io.popen("timeout 60 " .. command .. " 2>&1")
  local out = p:read "a"
  local _, _, code = p:close()
  return out, code
end

local function skip_without_script()
  if not terminal.missing "script" then return end
  pending "script is not installed"
  return true
end

--- An example on a terminal; returns it and the ports that it names.
local function start(arguments, before, n)
  local t = terminal.run("bin/luagreen examples/" .. arguments)
  local ports = {}
  for i = 1, n do
    t:expect(before)
    ports[i] = tonumber(t:expect("\r"):match "%d+")
  end
  return t, table.unpack(ports)
end

--- A conversation: sends each line, and waits for the reply.
local function talk(conn, replies)
  for _, pair in ipairs(replies) do
    assert(conn:send(pair[1] .. "\r\n"))
    assert.equal(pair[2], conn:receive(#pair[2]))
  end
end

local function connect(port)
  local conn = assert(green.connect("127.0.0.1", port))
  conn:settimeout(10)
  return conn
end

describe("service.lua", function()
  it("keeps, counts, lists and forgets, until Ctrl-C", function()
    if skip_without_script() then return end
    local t <close>, port, back = start("service.lua 0 0", "127.0.0.1:", 2)
    local conn <close> = connect(port)
    talk(conn, {
      {"ping", "+PONG\r\n"},
      {"SET a \"one two\"", "+OK\r\n"},
      {"GET a", "$7\r\none two\r\n"},
      {"GET b", "$-1\r\n"},
      {"INCR n", ":1\r\n"},
      {"INCR n", ":2\r\n"},
      {"INCR a", "-ERR value is not an integer\r\n"},
      {"KEYS *", "*2\r\n$1\r\na\r\n$1\r\nn\r\n"},
      {"DEL a b", ":1\r\n"},
      {"EXPIRE n 100", ":1\r\n"},
      {"TTL n", ":100\r\n"},
      {"PERSIST n", ":1\r\n"},
      {"TTL n", ":-1\r\n"},
      {"EXPIRE n 0.02", ":1\r\n"},
      {"SET x 1 EX 100", "+OK\r\n"},
      {"NONE", "-ERR unknown command 'NONE'\r\n"},
      {"GET", "-ERR wrong number of arguments for 'GET'\r\n"},
      {"*2\r\n$3\r\nGET\r\n$1\r\nx", "$1\r\n1\r\n"},
    })
    help.wait_until(function()
      conn:send "TTL n\r\n"
      green.sleep(0.001)
      return conn:receive "*l" == ":-2"
    end)

    local door <close> = connect(back)
    door:send "store.x = 'by hand'\nexit()\n"
    door:receive "*a"
    talk(conn, {{"GET x", "$7\r\nby hand\r\n"}})

    t:type "\3"
    assert.equal("-ERR the service ends", conn:receive "*l")
    t:expect "ended after "
  end)

  it("publishes to those who subscribed", function()
    if skip_without_script() then return end
    local t <close>, port = start("service.lua 0 0", "127.0.0.1:", 2)
    local a <close> = connect(port)
    talk(a, {{"SUBSCRIBE news",
      "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"}})
    local c <close> = connect(port)
    talk(c, {{"PUBLISH news hello", ":1\r\n"}, {"PUBLISH other x", ":0\r\n"}})
    local message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"
    assert.equal(message, a:receive(#message))
    talk(a, {{"QUIT", "+OK\r\n"}})
    assert.is_nil(a:receive "*l")
    help.wait_until(function()
      c:send "PUBLISH news again\r\n"
      green.sleep(0.001)
      return c:receive "*l" == ":0"
    end)
    t:type "\3"
    t:expect "ended after "
  end)
end)

describe("echo.lua", function()
  it("returns each line", function()
    if skip_without_script() then return end
    local t <close>, port = start("echo.lua 0", "port ", 1)
    local conn <close> = connect(port)
    talk(conn, {{"hello", "hello\n"}, {"", "\n"}})
    t:type "\3"
  end)
end)

describe("echo_tls.lua", function()
  local certificates = pcall(require, "green.openssl")
    and require "spec.certificates"

  it("returns each line over TLS, with a certificate and without", function()
    if not certificates or skip_without_script() then return end
    local files = certificates.of "server"
    for _, own in ipairs {true, false} do
      local arguments = own and (" %s %s"):format(files.certificate, files.key)
        or ""
      local t <close>, port = start("echo_tls.lua 0" .. arguments, "port ", 1)
      local conn <close> = connect(port)
      local params = own and {cafile = certificates.ca}
        or {verify = "none"}
      params.servername = "localhost"
      assert(green.wrap_ssl(conn, params))
      talk(conn, {{"hello", "hello\n"}, {"", "\n"}})
      t:type "\3"
    end
  end)
end)

describe("metrics.lua", function()
  it("gathers what comes by UDP, and reports at Ctrl-C", function()
    if skip_without_script() then return end
    local t <close>, port = start("metrics.lua 0 0.1", "port ", 1)
    local sock <close> = green.udp()
    sock:setpeername("127.0.0.1", port)
    for i = 1, 100 do sock:send(("hits:1|c\ntook:%d|ms"):format(i)) end
    sock:send "hits:5|c|@0.5\nusers:7|g"
    sock:send "users:-2|g\nnonsense\nhits:x|c"
    sock:send "done:1|g"
    local text, hits, all = t:expect "done = 1", 0, 0
    for n in text:gmatch "hits: (%d+)" do hits = hits + n end
    for n in text:gmatch "(%d+) datagrams" do all = all + n end
    assert.same({110, 103}, {hits, all})
    t:type "\3"
    t:expect "0 datagrams, 0 bad lines"
    t:expect "users = 5"
  end)
end)

describe("proxy.lua", function()
  it("passes on both directions, and the end of each", function()
    if skip_without_script() then return end
    local target <close> = assert(green.listen("127.0.0.1", 0))
    local _, there = target:getsockname()
    local t <close>, port = start("proxy.lua 0 127.0.0.1:" .. there .. " 30",
      "port ", 1)
    local client <close> = connect(port)
    local server <close> = assert(target:accept())
    client:send "question"
    client:shutdown "send"
    assert.equal("question", server:receive "a")
    server:send "answer"
    server:shutdown "send"
    assert.equal("answer", client:receive "a")
    t:type "\3"
  end)

  it("ends TLS where it has a certificate", function()
    local certificates = pcall(require, "green.openssl")
      and require "spec.certificates"
    if not certificates or skip_without_script() then return end
    local files = certificates.of "server"
    local target <close> = assert(green.listen("127.0.0.1", 0))
    local _, there = target:getsockname()
    local t <close>, port = start(("proxy.lua 0 %s 30 %s %s"):format(there,
      files.certificate, files.key), "port ", 1)
    local client <close> = connect(port)
    assert(green.wrap_ssl(client, {cafile = certificates.ca, verify = "none"}))
    client:send "question"
    client:shutdown "send"
    local server <close> = assert(target:accept())
    assert.equal("question", server:receive "a")
    server:send "answer"
    server:shutdown "send"
    assert.equal("answer", client:receive "a")
    t:type "\3"
  end)

  it("resets the other side of one that breaks, or says nothing", function()
    if skip_without_script() then return end
    local target <close> = assert(green.listen("127.0.0.1", 0))
    local _, there = target:getsockname()
    local t <close>, port = start("proxy.lua 0 " .. there .. " 0.1", "port ", 1)
    for _, breaks in ipairs {true, false} do
      local client <close> = connect(port)
      local server <close> = assert(target:accept())
      server:settimeout(10)
      if breaks then
        client:setoption("linger", {on = true, timeout = 0})
        client:close()
      end
      assert.same({nil, "connection reset by peer"}, {server:recv(1)})
    end
    t:type "\3"
  end)
end)

describe("crawler.lua", function()
  it("finds every page, many at once", function()
    local out, code = output "bin/luagreen examples/crawler.lua -n 20 --serve"
    assert.equal(0, code)
    assert.matches("/101: 404\n101 pages, 1 not there; ", out, 1, true)
    local took, waited = out:match "(%S+) s for (%S+) s"
    assert.is_true(tonumber(took) < tonumber(waited) / 3)
  end)

  it("finds pages by https, of a host that it can trust", function()
    local tls = require "spec.tls"
    if not tls then return end
    local l, port = tls.listening()
    local t = green.spawn(green.serve, l, function(conn)
      local path = (conn:receive() or ""):match "^GET (%S+)"
      for line in conn:lines() do
        if line == "" then break end
      end
      local i = path and math.tointeger(tonumber(path:sub(2)))
      conn:send("HTTP/1.0 200 OK\r\n\r\n" .. (i and i < 10
        and ('<a href="/%d">next</a>'):format(i + 1) or "the end"))
    end)
    local command = "bin/luagreen examples/crawler.lua %s https://%s:%d/1"
    local function crawl(...)
      local name = os.tmpname()
      local ran = green.spawn(os.execute, ("%s >%s 2>&1 </dev/null &"):format(
        ("(timeout 30 %s; echo ended)"):format(command:format(...)), name))
      ran:join()
      local text
      help.wait_until(function()
        local f <close> = assert(io.open(name))
        text = f:read "a"
        return text:find "ended"
      end)
      os.remove(name)
      return text
    end
    local ca = "--ca " .. tls.certificates.ca
    assert.matches("10 pages, 0 not there", crawl(ca, "127.0.0.1", port), 1,
      true)
    assert.matches("certificate verify failed", crawl("", "127.0.0.1", port),
      1, true)
    l:close()
    t:wait()
  end)

  it("says what went wrong", function()
    assert.matches("/x: connection refused", (output
      "bin/luagreen examples/crawler.lua http://127.0.0.1:1/x"), 1, true)
    assert.equal(2, select(2, output "bin/luagreen examples/crawler.lua"))
  end)
end)

describe("redis.lua", function()
  it("shares few connections among many threads, and trusts no broken one",
    function()
      if terminal.missing "redis-server" then
        pending "redis-server is not installed"
        return
      end
      local out, code = output "bin/luagreen examples/redis.lua"
      assert.equal(0, code, out)
      assert.matches("counted to 1000 on 6 connections", out, 1, true)
      assert.matches("BLPOP: timeout; connections destroyed: 1\n", out, 1, true)
      assert.matches("1 new connection, and it answers", out, 1, true)
      assert.matches("1002 commands at once, the last value is 1000", out, 1,
        true)
      local made, destroyed = out:match "(%d+) connections made, (%d+) destr"
      assert.equal(made, destroyed)
    end)

  it("says what went wrong", function()
    assert.matches("connection refused", (output
      "bin/luagreen examples/redis.lua 127.0.0.1:1"), 1, true)
    assert.equal(2, select(2, output "bin/luagreen examples/redis.lua nowhere"))
  end)
end)

--- A C example, compiled here with the library that is under test.
local function c_example(name)
  local build = os.getenv "BUILD" or "build"
  local path = os.tmpname()
  local _, code = output(("cc -std=c11 -D_GNU_SOURCE -Icore -Ibindings "
    .. "$(tools/lua cflags %s) -o %s examples/%s.c %s/libgreen_lua.a "
    .. "$(tools/lua libs %s) $(pkg-config --libs libuv) -lpthread"):format(
    help.lua, path, name, build, help.lua))
  assert.equal(0, code)
  return path
end

local function run_c(name, arguments)
  local path = c_example(name)
  local out, code = output(path .. (arguments or ""))
  os.remove(path)
  assert.equal(0, code, out)
  return out
end

describe("c_only.c", function()
  it("echoes every message of every client", function()
    assert.matches("50 connections served, 250 messages echoed, "
      .. "0 clients failed", run_c("c_only", " 50 5"), 1, true)
  end)
end)

describe("watched.lua", function()
  it("answers a scraper and a load balancer", function()
    if skip_without_script() then return end
    local t <close>, port = start("watched.lua 0", "metrics on port ", 1)
    local function get(request)
      local conn <close> = connect(port)
      assert(conn:send(request .. " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
      return (conn:receive "*a")
    end
    assert.matches("^HTTP/1.1 200 OK\r\n.*\r\n\r\nok\n$",
      get "GET /health/live")
    assert.matches("queue: ok %(0.%d+ s%)\nok\n$", get "GET /health/ready")
    local text = get "GET /metrics?x=1"
    assert.matches("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
      text, 1, true)
    assert.matches("\nluagreen_switches_total %d+\n", text)
    assert.matches("# TYPE job_seconds histogram\n", text, 1, true)
    assert.matches("^HTTP/1.1 404 ", get "GET /")
    assert.matches("^HTTP/1.1 405 ", get "POST /metrics")
    assert.matches("\r\n\r\n$", get "HEAD /metrics")
    local _ = t
  end)
end)
