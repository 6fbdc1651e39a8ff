-- The promises of green.socket beyond those of LuaSocket: a wait
-- blocks the calling thread alone, and an interruption leaves nothing behind.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"
local socket = green.socket

local _, real = pcall(require, "socket")
real = type(real) == "table" and real.gettime and real or nil

--- Both ends of a connection of green.socket's, and its server.
local function pair(library)
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  local near = assert((library or socket).connect("127.0.0.1", port))
  return near, assert(server:accept()), server
end

local function close_all(...)
  for i = 1, select("#", ...) do select(i, ...):close() end
end

local function descriptors()
  local n = 0
  for _ in io.popen("ls /proc/$PPID/fd"):lines() do n = n + 1 end
  return n
end

describe("select", function()
  it("waits for sockets of both libraries and other objects", function()
    local near, far, server = pair()
    local theirs, ours = near, far
    if real then theirs, ours = pair(real) end
    local object = {getfd = function() return near:getfd() end}
    local t = help.blocked(green.spawn(function()
      return socket.select({theirs, object, server}, nil)
    end))
    far:send "x"
    local r, w, err = t:wait()
    assert.same({1, 0}, {#r, #w})
    assert.equal(object, r[1])
    assert.is_nil(err)
    t = help.blocked(green.spawn(socket.select, {theirs, server}, nil))
    ours:send "y"
    if not real then near:receive(1) end
    assert.equal(theirs, t:wait()[1])
    close_all(near, far, server, theirs, ours)
  end)

  it("takes more descriptors than FD_SETSIZE", function()
    local all, last = {}, nil
    for i = 1, 1200 do
      last = socket.udp4()
      if not last then break end
      all[i] = last
    end
    if not last then
      close_all(table.unpack(all))
      return pending "this process may not have so many"
    end
    assert(last:setsockname("127.0.0.1", 0))
    local _, port = last:getsockname()
    local t = help.blocked(green.spawn(socket.select, all, nil))
    assert(all[1]:sendto("x", "127.0.0.1", port))
    local r = t:wait()
    assert.equal(1, #r)
    assert.equal(last, r[1])
    for _, sock in ipairs(all) do sock:close() end
  end)

  it("sleeps while it waits", function()
    local near, far, server = pair()
    local before = green.stats().switches
    local r, w, err = socket.select({near, far, server}, nil, 0.05)
    assert.same({{}, {}, "timeout"}, {r, w, err})
    assert.is_true(green.stats().switches - before < 20)
    close_all(near, far, server)
  end)

  it("may wait for what others wait for", function()
    local near, far, server = pair()
    local first = help.blocked(green.spawn(socket.select, {near}, nil))
    local second = help.blocked(green.spawn(socket.select, {near}, nil))
    local reader = help.blocked(green.spawn(near.recv, near, 10))
    far:send "x"
    assert.equal("x", reader:wait())
    -- They looked after the reader had taken it, or before.
    far:send "y"
    assert.equal(near, first:wait()[1])
    assert.equal(near, second:wait()[1])
    close_all(near, far, server)
  end)

  it("waits for readers and writers at once, of one socket", function()
    local near, far, server = pair()
    near:settimeout(0)
    repeat until not near:send(("x"):rep(65536))
    local t = help.blocked(green.spawn(socket.select, {near}, {near}))
    far:send "x"
    local r, w = t:wait()
    assert.same({1, 0}, {#r, #w})
    t = help.blocked(green.spawn(socket.select, nil, {near}))
    far:settimeout(0)
    while t:status() == "blocked" do
      while far:recv(65536) do end
      green.sleep(0.001)
    end
    assert.equal(near, select(2, t:wait())[1])
    close_all(near, far, server)
  end)

  it("ends when a socket is closed, which is ready then", function()
    local near, far, server = pair()
    local t = help.blocked(green.spawn(socket.select, {server, near}, nil))
    near:close()
    local r = t:wait()
    assert.same({1, near}, {#r, r[1]})
    assert.same({nil, "closed", ""}, {near:receive()})
    close_all(far, server)
  end)

  it("ends when strangers close a descriptor", function()
    if not real then return pending "no LuaSocket here" end
    local near, far, server = pair(real)
    local t = help.blocked(green.spawn(socket.select, {near, server}, nil))
    near:close()
    assert.equal(near, t:wait()[1])
    close_all(far, server)
  end)

  it("raises of a descriptor that is not open", function()
    assert.error_matches(function()
      socket.select({{getfd = function() return 99999 end}}, nil, 1)
    end, "descriptor 99999 is not open")
  end)

  it("leaves nothing behind when it is interrupted", function()
    local near, far, server = pair()
    local timers = green.stats().timers
    for _ = 1, 20 do
      local t = help.blocked(green.spawn(socket.select, {near, server},
        {server}, 60))
      t:kill()
      assert.equal("killed", green.type(select(2, t:join())))
    end
    assert.equal(timers, green.stats().timers)
    local t = help.blocked(green.spawn(near.receive, near))
    far:send "line\n"
    assert.equal("line", (t:wait()))
    close_all(near, far, server)
  end)

  it("leaves nothing behind when its coroutine is dropped", function()
    local near, far, server = pair()
    green.spawn(function()
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, {__close = function() end})
        green.with_timeout(0.001, socket.select, {near}, nil)
        coroutine.yield()
      end)
      coroutine.resume(co)
      coroutine.close(co)
    end):wait()
    far:send "x"
    assert.equal("x", near:recv(1))
    close_all(near, far, server)
  end)
end)

describe("protect", function()
  --- A protected function that waits for ever, and what its finalizers did.
  local function waiting(log, ...)
    local names = {...}
    return socket.protect(function()
      for _, name in ipairs(names) do
        socket.newtry(function() log[#log + 1] = name end)
      end
      green.sleep(math.huge)
    end)
  end

  it("runs the finalizers of its call when a thread is killed", function()
    local log = {}
    local t = help.blocked(green.spawn(waiting(log, "first", "second")))
    t:kill()
    assert.equal("killed", green.type(select(2, t:join())))
    assert.same({"second", "first"}, log)
  end)

  it("runs them when a timeout passes, with an error of one's own, too",
    function()
      local log = {}
      assert.same({nil, "timeout"},
        {green.with_timeout(0.001, waiting(log, "a"))})
      local ok, err = pcall(function()
        local _ <close> = green.timeout(0.001, "mine")
        waiting(log, "b")()
      end)
      assert.same({false, "mine"}, {ok, err})
      assert.same({"a", "b"}, log)
    end)

  it("runs them when an error is thrown into the thread", function()
    local log = {}
    local t = help.blocked(green.spawn(waiting(log, "a")))
    t:throw "thrown"
    assert.same({false, "thrown"}, {t:join()})
    assert.same({"a"}, log)
  end)

  it("runs them when a group ends its body", function()
    local log = {}
    local ok, err = pcall(function()
      local g <close> = green.group()
      g:spawn(error, "child", 0)
      waiting(log, "a")()
    end)
    assert.same({false, "child"}, {ok, err})
    assert.same({"a"}, log)
  end)

  it("runs them when a kill is forced", function()
    local log = {}
    help.with_config({grace = 0.05}, function()
      local t = help.blocked(green.spawn(socket.protect(function()
        socket.newtry(function() log[#log + 1] = "a" end)
        while true do pcall(green.sleep, 10) end
      end)))
      t:kill()
      t:join()
    end)
    assert.same({"a"}, log)
  end)

  it("runs them when a coroutine is closed in the midst of it", function()
    local log = {}
    local co = coroutine.create(socket.protect(function()
      socket.newtry(function() log[#log + 1] = "a" end)
      coroutine.yield()
    end))
    coroutine.resume(co)
    coroutine.close(co)
    assert.same({"a"}, log)
  end)

  it("runs those of the calls that end, and no others", function()
    local log = {}
    local inner = socket.protect(function()
      socket.newtry(function() log[#log + 1] = "inner" end)
      socket.try(nil, "why")
    end)
    local t = help.blocked(green.spawn(socket.protect(function()
      inner()
      waiting(log, "outer")()
    end)))
    t:kill()
    t:join()
    assert.same({"outer"}, log)
  end)

  it("does not run them for other errors, as LuaSocket does not", function()
    local log = {}
    assert.same({false, "mine"}, {pcall(socket.protect(function()
      socket.newtry(function() log[#log + 1] = "a" end)
      error("mine", 0)
    end))})
    assert.same({}, log)
  end)

  it("lets them block for a while, whatever strikes meanwhile", function()
    local done = false
    local t = help.blocked(green.spawn(socket.protect(function()
      socket.newtry(function()
        green.sleep(0.01)
        done = true
      end)
      green.sleep(math.huge)
    end)))
    t:kill()
    t:join()
    assert.is_true(done)
  end)

  it("reports their errors, and runs the others", function()
    local log, told = {}, nil
    local former = green.on_error(function(err) told = err end)
    local t = help.blocked(green.spawn(socket.protect(function()
      socket.newtry(function() log[#log + 1] = "first" end)
      socket.newtry(function() error("bad", 0) end)
      green.sleep(math.huge)
    end)))
    t:kill()
    t:join()
    help.wait_until(function() return told end, "a report")
    green.on_error(former)
    assert.equal("bad", told)
    assert.same({"first"}, log)
  end)
end)

describe("green.socket", function()
  it("tells those that wait that a socket was closed", function()
    local near, far, server = pair()
    local acceptor = help.blocked(green.spawn(server.accept, server))
    local reader = help.blocked(green.spawn(near.receive, near, 5, "12"))
    local writer = help.blocked(green.spawn(near.send, near,
      ("x"):rep(2 ^ 24)))
    close_all(near, server)
    assert.same({nil, "closed"}, {acceptor:wait()})
    assert.same({nil, "closed", "12"}, {reader:wait()})
    assert.same({nil, "closed"}, {table.unpack({writer:wait()}, 1, 2)})
    far:close()
  end)

  it("gives what has come, and the prefix, when a socket is closed", function()
    local near, far, server = pair()
    local reader = help.blocked(green.spawn(near.receive, near, 9, "12"))
    far:send "34"
    help.wait_until(function() return near:dirty() end, "bytes")
    near:close()
    assert.same({nil, "closed", "1234"}, {reader:wait()})
    close_all(far, server)
  end)

  it("waits in the calling thread alone", function()
    local near, far, server = pair()
    near:settimeout(0.05)
    local ticks = 0
    local ticker = green.spawn(function()
      while true do
        green.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    near:receive()
    socket.sleep(0.01)
    ticker:kill()
    assert.is_true(ticks > 0)
    close_all(near, far, server)
  end)

  it("has a clock that goes with that of a test", function()
    require "green.test".run(function()
      local began = socket.gettime()
      socket.sleep(1000)
      local past = socket.gettime() - began
      assert.is_true(past > 999.9 and past < 1030)
    end)
  end)

  --- Receives five bytes that come one each 0.6 s.
  local function drip(block, total)
    local got
    require "green.test".run(function()
      local near, far, server = pair()
      near:settimeout(block, "b")
      near:settimeout(total, "t")
      local t = green.spawn(function()
        for _ = 1, 5 do
          green.sleep(0.6)
          far:send "x"
        end
      end)
      got = {near:receive(5)}
      t:join()
      close_all(near, far, server)
    end)
    return got
  end

  it("takes one limit for that of the call, and both as LuaSocket", function()
    assert.same({nil, "timeout", "x"}, drip(1, -1))
    assert.same({nil, "timeout", "x"}, drip(-1, 1))
    assert.same({"xxxxx"}, drip(1, 60))
    assert.same({nil, "timeout", "xx"}, drip(1, 1.5))
  end)

  it("opens serial lines", function()
    local path = os.tmpname()
    assert(os.execute(("rm '%s' && mkfifo '%s'"):format(path, path)))
    local line = assert(socket.serial(path))
    os.remove(path)
    assert.matches("^serial{client}: 0x", tostring(line))
    local t = help.blocked(green.spawn(line.receive, line))
    assert.equal(8, (line:send "one\ntwo\n"))
    assert.equal("one", (t:wait()))
    assert.equal(1, #socket.select({line}, nil, 5))
    assert.equal("two", (line:receive()))
    line:settimeout(0)
    assert.same({nil, "timeout", ""}, {line:receive(9)})
    assert.equal(1, line:close())
    assert.same({nil, "No such file or directory"},
      {socket.serial(path .. "/x")})
  end)

  it("has Unix sockets like those of socket.unix", function()
    local unix = socket.unix
    assert.equal(unix.stream, unix.tcp)
    assert.equal(unix.dgram, unix.udp)
    local path = os.tmpname()
    os.remove(path)
    local master = unix()
    assert.equal("unixstream{master}", master.class)
    assert.is_true(master:getfd() > 0)
    assert.same({nil, "Invalid argument"}, {unix():listen()})
    assert.same({nil, "No such file or directory"}, {master:connect(path)})
    assert.same({"unixstream{master}", -1}, {master.class, master:getfd()})
    local server = unix.stream()
    assert.same({1, 1}, {server:bind(path), server:listen()})
    assert.same({nil, "address already in use"}, {unix():bind(path)})
    assert.same({nil, "path too long"}, {unix():bind(("x"):rep(200))})
    assert.equal(path, (server:getsockname()))
    local client = unix()
    assert.same({1, "unixstream{client}"}, {client:connect(path),
      client.class})
    local far = assert(server:accept())
    far:send "hi\n"
    assert.equal("hi", (client:receive()))
    close_all(client, far, server)
    assert(os.remove(path))
  end)
end)

describe("modules of the installed LuaSocket on green.socket:", function()
  local names = {"socket", "socket.core", "socket.unix", "socket.http",
                 "socket.url", "socket.headers", "socket.smtp", "socket.tp",
                 "socket.ftp"}
  local former = {}
  local http, smtp

  before_each(function()
    for _, name in ipairs(names) do
      former[name], package.loaded[name] = package.loaded[name], nil
    end
    package.loaded.socket, package.loaded["socket.core"] = socket, socket
    http = real and require "socket.http"
    smtp = real and require "socket.smtp"
  end)

  after_each(function()
    for _, name in ipairs(names) do package.loaded[name] = former[name] end
  end)

  --- A server of HTTP that calls wait() before it answers, and its URL.
  local function slow(wait)
    local listener = assert(green.listen("127.0.0.1", 0))
    green.spawn_n(green.serve, listener, function(conn)
      repeat local line = conn:receive() until not line or line == ""
      wait()
      conn:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      conn:send "5\r\nhello\r\n0\r\n\r\n"
    end)
    return listener, ("http://127.0.0.1:%d/"):format(
      (select(2, listener:getsockname())))
  end

  it("socket.http makes requests at once", function()
    if not real then return pending "no LuaSocket here" end
    local asked, all = 0, green.event()
    local listener, url = slow(function()
      asked = asked + 1
      if asked == 50 then all:send(true) end
      assert(all:wait(20))
    end)
    local pool = green.pool(50)
    for i, ok, body, code in pool:imap_unordered(http.request,
      (function()
        local urls = {}
        for i = 1, 50 do urls[i] = url end
        return urls
      end)()) do
      assert.same({true, "hello", 200}, {ok, body, code}, i)
    end
    assert.equal(50, asked)
    listener:close()
  end)

  it("a crawler of timeouts leaks no descriptor", function()
    if not real then return pending "no LuaSocket here" end
    local listener, url = slow(function() green.sleep(60) end)
    pcall(green.with_timeout, 0.001, http.request, url)
    collectgarbage()
    collectgarbage "stop"
    local before = descriptors()
    for i = 1, 30 do
      local t = green.spawn(http.request, url)
      help.wait_until(function()
        local what = t:blocked()
        return what and what.what == "socket:receive"
      end, "a request")
      if i % 3 == 0 then t:kill() else t:throw("enough") end
      t:join()
      green.with_timeout(0.001, http.request, url)
    end
    -- The handlers' sides are still open: one for each request that was made.
    local handlers = #green.threads()
    assert.is_true(descriptors() - before <= handlers + 2)
    collectgarbage "restart"
    listener:close()
    for _, t in ipairs(green.threads()) do
      if t ~= green.current() then t:kill() end
    end
  end)

  it("socket.smtp sends a message", function()
    if not real then return pending "no LuaSocket here" end
    local listener = assert(green.listen("127.0.0.1", 0))
    local got = {}
    green.spawn_n(green.serve, listener, function(conn)
      local function say(text) conn:send(text .. "\r\n") end
      say "220 ready"
      for line in conn:lines() do
        local verb = line:sub(1, 4)
        if verb == "DATA" then
          say "354 go on"
          repeat
            local text = conn:receive()
            got[#got + 1] = text
          until text == "."
        end
        say(verb == "QUIT" and "221 bye" or "250 fine")
        if verb == "QUIT" then return end
      end
    end)
    assert.equal(1, smtp.send {
      from = "<a@x.example>", rcpt = "<b@x.example>", server = "127.0.0.1",
      port = (select(2, listener:getsockname())),
      source = smtp.message {headers = {subject = "greeting"}, body = "hello"},
    })
    assert.matches("hello", table.concat(got, "\n"))
    listener:close()
  end)
end)
