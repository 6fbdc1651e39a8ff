-- Client libraries, unmodified and as Debian ships them, on green threads. Each
-- test is a row of docs/compatibility.md. That all calls are in flight at once
-- is counted by the server, not measured by a clock.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local HOST <const> = "127.0.0.1"

--- A row is skipped where its library is not installed.
local function has(name)
  return (pcall(require, name))
end

local function find(pattern)
  for _, version in ipairs {"5.3", "5.2", "5.1"} do
    local path = ("/usr/share/lua/%s/%s"):format(version, pattern)
    local f = io.open(path)
    if f then
      f:close()
      return path
    end
  end
end

--- A module of an older Lua's folder, whose code runs on ours as it is.
local function with_path(file, f, ...)
  local path = assert(find(file)):gsub("[^/]*$", "?.lua")
  local former = package.path
  package.path = former .. ";" .. path
  local _ <close> = setmetatable({}, {
    __close = function() package.path = former end})
  return f(...)
end

--- The rows of docs/compatibility.md.
local rows = {}

local function row(library, name, condition, f)
  rows[#rows + 1] = ("| %s | %s |"):format(library, name)
  local title = library .. " " .. name
  if condition then
    it(title, f)
  else
    pending(title)
  end
end

--- A server whose handler answers only when n connections have asked: if the
--- calls were not in flight at once, none would be answered.
local function gathering(n, handler)
  local listener = assert(green.listen(HOST, 0))
  local server = {count = 0, all = green.event(), most = n}
  server.port = select(2, listener:getsockname())
  function server.arrive()
    server.count = server.count + 1
    if server.count == n then server.all:send() end
    server.all:wait()
  end
  local t = green.spawn(green.serve, listener, function(conn)
    handler(server, conn)
  end)
  return setmetatable(server, {__close = function()
    listener:close()
    t:join()
  end})
end

--- Runs f in n threads; returns the list of their results.
local function at_once(n, f)
  local list = {}
  for i = 1, n do list[i] = green.spawn(f, i) end
  return green.wait_all(list)
end

local function answer_http(server, conn)
  local line = conn:receive "*l"
  while conn:receive "*l" ~= "" do end
  server.arrive()
  local body = "you asked for " .. line:match "^GET (%S+)"
  conn:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#body,
    body))
end

describe("unmodified, for green threads:", function()
  row("socket.http", "has 200 requests in flight at once", true, function()
    local http = green.import_patched "socket.http"
    local server <close> = gathering(200, answer_http)
    local bodies = at_once(200, function(i)
      return (http.request(("http://%s:%d/%d"):format(HOST, server.port, i)))
    end)
    for i = 1, 200 do assert.equal("you asked for /" .. i, bodies[i]) end
    assert.equal(200, server.count)
  end)

  row("socket.smtp", "delivers 20 letters at once", true, function()
    local smtp, ltn12 = green.import_patched("socket.smtp", "ltn12")
    local letters = {}
    local server <close> = gathering(20, function(server, conn)
      local function say(text) conn:send(text .. "\r\n") end
      say "220 ready"
      for line in conn:lines() do
        if line:find "^EHLO" then say "250 hello"
        elseif line == "DATA" then
          server.arrive()
          say "354 go on"
          local text = {}
          for l in conn:lines() do
            if l == "." then break end
            text[#text + 1] = l
          end
          letters[#letters + 1] = table.concat(text, "\n")
          say "250 taken"
        elseif line == "QUIT" then
          say "221 bye"
          break
        else
          say "250 fine"
        end
      end
    end)
    at_once(20, function(i)
      assert(smtp.send {
        from = "<a@example.org>", rcpt = "<b@example.org>", server = HOST,
        port = server.port,
        source = smtp.message {headers = {subject = "letter " .. i},
          body = ltn12.source.string "the text"},
      })
    end)
    assert.equal(20, #letters)
    assert.matches("Subject: letter %d+.*the text", letters[1])
  end)

  local certificate
  --- A key and a certificate that it signed itself, made by openssl.
  local function make_certificate()
    if certificate then return certificate end
    local name = os.tmpname()
    local ok = os.execute(("openssl req -x509 -newkey rsa:2048 -nodes -days 1 "
      .. "-subj /CN=localhost -keyout '%s.key' -out '%s.crt' 2>/dev/null")
      :format(name, name))
    assert(ok, "openssl")
    certificate = name
    return name
  end
  teardown(function()
    for _, suffix in ipairs {"", ".key", ".crt"} do
      if certificate then os.remove(certificate .. suffix) end
    end
  end)

  row("ssl.https", "has 50 requests in flight at once", has "ssl.core",
    function()
      local https = green.import_patched "ssl.https"
      local ssl, name = green.ssl, make_certificate()
      local context = assert(ssl.newcontext {mode = "server", protocol = "any",
        key = name .. ".key", certificate = name .. ".crt"})
      -- LuaSec at both ends, each in green threads.
      local socket = green.socket
      local listener = assert(socket.bind(HOST, 0))
      local port = select(2, listener:getsockname())
      local count, all = 0, green.event()
      local acceptor = green.spawn(function()
        while true do
          local conn = listener:accept()
          if not conn then return end
          green.spawn(function()
            local tls = assert(ssl.wrap(conn, context))
            assert(tls:dohandshake())
            local line = tls:receive "*l"
            while tls:receive "*l" ~= "" do end
            count = count + 1
            if count == 50 then all:send() end
            all:wait()
            tls:send("HTTP/1.0 200 OK\r\n\r\n" .. line)
            tls:close()
          end)
        end
      end)
      local bodies = at_once(50, function(i)
        local body, code = https.request(("https://%s:%d/%d"):format(HOST,
          port, i))
        assert.equal(200, code)
        return body
      end)
      for i = 1, 50 do
        assert.equal(("GET /%d HTTP/1.1"):format(i), bodies[i])
      end
      listener:close()
      acceptor:join()
    end)

  row("ssl", "reads and writes large texts, has certificates, ALPN and limits",
    has "ssl.core", function()
      local ssl, name = green.ssl, make_certificate()
      local listener = assert(green.socket.bind(HOST, 0))
      local port = select(2, listener:getsockname())
      local text = ("0123456789"):rep(100000)
      local server = green.spawn(function()
        local tls = assert(ssl.wrap(listener:accept(), {mode = "server",
          protocol = "any", key = name .. ".key",
          certificate = name .. ".crt", alpn = {"two", "one"}}))
        assert(tls:dohandshake())
        assert.equal(text, tls:receive(#text))
        assert(tls:send(text .. "\n"))
        assert.equal("again", tls:receive())
        tls:close()
      end)
      local conn = assert(green.socket.connect(HOST, port))
      local tls = assert(ssl.wrap(conn, {mode = "client", protocol = "any",
        verify = "none", cafile = name .. ".crt", alpn = "one"}))
      assert.equal(-1, conn:getfd())
      tls:sni "localhost"
      assert.is_true(tls:dohandshake())
      assert.equal("one", tls:getalpn())
      assert.matches("localhost", tls:getpeercertificate():pem() and
        tls:getpeercertificate():subject()[1].value)
      assert.matches("^TLS", tls:info "protocol")
      -- One thread reads while another writes.
      local reader = green.spawn(function() return tls:receive() end)
      assert.equal(#text, tls:send(text))
      assert.equal(text, reader:wait())
      tls:settimeout(0.01)
      assert.same({nil, "wantread", ""}, {tls:receive()})
      assert.same({nil, "timeout"},
        {green.with_timeout(0.01, function()
          tls:settimeout(nil)
          return tls:receive()
        end)})
      assert.equal(6, tls:send "again\n")
      assert.same({nil, "closed", ""}, {tls:receive()})
      server:wait()
      assert.is_nil(tls:close())
      assert.same({nil, "closed", ""}, {tls:receive()})
      listener:close()
    end)

  local redis_server = os.execute "command -v redis-server >/dev/null"

  --- A redis-server of the test's own, at a Unix socket and a port.
  local function start_redis()
    local port, _ <close> = help.port()
    local p = io.popen(("exec redis-server --port %d --bind %s --save '' "
      .. "--appendonly no --daemonize no >/dev/null & echo $!"):format(port,
      HOST))
    local pid = p:read "l"
    p:close()
    help.wait_until(function()
      local conn = green.connect(HOST, port)
      if not conn then green.sleep(0.01) end
      return conn and conn:close()
    end, "redis-server")
    return setmetatable({port = port}, {__close = function()
      os.execute("kill -9 " .. pid .. " 2>/dev/null")
    end})
  end

  row("redis (lua-redis)", "has 200 pipelines in flight at once",
    redis_server and find "redis.lua", function()
      local server <close> = start_redis()
      local redis = with_path("redis.lua", green.import_patched, "redis")
      local counter = redis.connect(HOST, server.port)
      -- Each blocks until all of them are there: the server counts the clients
      -- that wait, and only then they are served.
      local list = {}
      for i = 1, 200 do
        list[i] = green.spawn(function()
          local client = redis.connect(HOST, server.port)
          local replies = client:pipeline(function(p)
            -- Of the first ones only those that lua-redis has a parser for:
            -- others it loses itself, under Lua 5.3 and later.
            p:exists("key" .. i)
            p:blpop("gate", 0)
          end)
          client:quit()
          return replies[1] == false and replies[2][2]
        end)
      end
      help.wait_until(function()
        local clients = counter:info().clients or counter:info()
        return tonumber(clients.blocked_clients) == 200
      end, "200 blocked clients")
      for _ = 1, 200 do counter:rpush("gate", "go") end
      local values = green.wait_all(list)
      for i = 1, 200 do assert.equal("go", values[i]) end
    end)

  row("copas", "runs its own server and clients", find "copas.lua", function()
    local path = find "copas.lua"
    local out = help.child(([[
      local green = require "green"
      package.path = package.path .. ";%s"
      green.monkey_patch()
      unpack, loadstring = table.unpack, load
      local copas = require "copas"
      local socket = require "socket"
      assert(socket == green.socket)
      local ticks, got = 0, {}
      local t = green.spawn(function()
        while true do green.sleep(0.001) ticks = ticks + 1 end
      end)
      local server = socket.bind("127.0.0.1", 0)
      local port = select(2, server:getsockname())
      copas.addserver(server, function(sock)
        sock = copas.wrap(sock)
        sock:send((sock:receive "*l") .. " back\n")
      end)
      for i = 1, 10 do
        copas.addthread(function()
          local plain = socket.tcp()
          assert(copas.connect(plain, "127.0.0.1", port))
          local sock = copas.wrap(plain)
          sock:send("text " .. i .. "\n")
          local line = sock:receive "*l"
          got[#got + 1] = line
        end)
      end
      for _ = 1, 2000 do
        copas.step(0.01)
        if #got == 10 then break end
      end
      table.sort(got)
      print(#got, got[1], ticks >= 0)
    ]]):format(path:gsub("[^/]*$", "?.lua")))
    assert.equal("10\ttext 1 back\ttrue\n", out)
  end)

  row("busted", "runs specs that patch everything", true, function()
    local spec <close> = help.file([[
      require "green".monkey_patch()
      describe("a suite", function()
        it("passes", function()
          local socket = require "socket"
          assert.equal(require "green".socket, socket)
          assert.equal("x", io.popen "printf x":read "a")
        end)
        it("fails", function() assert.equal(1, 2) end)
      end)
    ]], "_spec.lua")
    local p = io.popen(("%s tools/busted.lua -o TAP %s 2>&1"):format(help.lua,
      spec.path))
    local out = p:read "a"
    p:close()
    assert.matches("ok 1 %- a suite passes", out)
    assert.matches("not ok 2 %- a suite fails", out)
    assert.matches("1%.%.2", out)
  end)

  it("docs/compatibility.md has exactly these rows", function()
    assert.same(rows, help.table("docs/compatibility.md", "library"))
  end)
end)
