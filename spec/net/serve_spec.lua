-- The promises of green.serve.
-- SPDX-License-Identifier: MIT
local green = require "green"

local function listening()
  local listener = assert(green.listen("127.0.0.1", 0))
  return listener, (select(2, listener:getsockname()))
end

--- Lets the others run until f() is true.
local function eventually(f)
  local deadline = green.now() + 10
  while not f() do
    assert(green.now() < deadline, "it never came true")
    green.sleep(0.001)
  end
end

--- Runs f while errors go into a list, which f is given.
local function with_errors(f)
  local errors = {}
  local former = green.on_error(function(err) errors[#errors + 1] = err end)
  local ok, err = pcall(f, errors)
  green.on_error(former)
  assert(ok, err)
end

local function echo(conn)
  for data in conn:chunks() do conn:send(data) end
end

describe("serve", function()
  it("runs the handler in a thread of its own for each connection", function()
    local listener, port = listening()
    local t = green.spawn(green.serve, listener, echo)
    local one = assert(green.connect("127.0.0.1", port))
    local two = assert(green.connect("127.0.0.1", port))
    two:send("two")
    assert.equal("two", two:receive(3))
    one:send("one")
    assert.equal("one", one:receive(3))
    listener:close()
    assert.is_true((t:wait(10)))
  end)

  it("ends with true when anybody closes the listener; handlers go on",
    function()
      local listener, port = listening()
      local t = green.spawn(green.serve, listener, echo)
      local sock = assert(green.connect("127.0.0.1", port))
      sock:send("a")
      assert.equal("a", sock:receive(1))
      listener:close()
      assert.same({true, true}, {t:join(10)})
      sock:send("still")
      assert.equal("still", sock:receive(5))
    end)

  it("closes the connection when its handler ends, however that is", function()
    local listener, port = listening()
    local kept
    with_errors(function()
      local handlers = {
        function() end,
        function() error("broken") end,
        function(conn) conn:close() end,
        function(conn) kept = conn end,
        function() green.current():kill() green.sleep(1) end,
      }
      local n = 0
      green.spawn_n(green.serve, listener, function(conn)
        n = n + 1
        handlers[n](conn)
      end)
      for _ = 1, #handlers do
        local sock = assert(green.connect("127.0.0.1", port))
        assert.same({nil, "closed", ""}, {sock:receive()})
      end
      assert.equal(-1, kept:getfd())
    end)
    listener:close()
  end)

  it("hands a handler's error to on_error and serves on", function()
    local listener, port = listening()
    with_errors(function(errors)
      local boom = {}
      local t = green.spawn(green.serve, listener, function(conn)
        if conn:receive() == "fail" then error(boom) end
        conn:send("fine\n")
      end)
      local sock = assert(green.connect("127.0.0.1", port))
      sock:send("fail\n")
      assert.same({nil, "closed", ""}, {sock:receive()})
      eventually(function() return #errors == 1 end)
      assert.equal(boom, errors[1])
      sock = assert(green.connect("127.0.0.1", port))
      sock:send("work\n")
      assert.equal("fine", sock:receive())
      listener:close()
      assert.is_true((t:wait(10)))
    end)
  end)

  it("ends when a handler raises StopServe, which is no error; the listener"
    .. " stays open", function()
    local listener, port = listening()
    with_errors(function(errors)
      local t = green.spawn(green.serve, listener, function(conn)
        if conn:receive() == "stop" then error(green.StopServe) end
      end)
      local sock = assert(green.connect("127.0.0.1", port))
      sock:send("stop\n")
      assert.is_true((t:wait(10)))
      assert.same({nil, "closed", ""}, {sock:receive()})
      green.sleep(0)
      assert.same({}, errors)
      assert(green.connect("127.0.0.1", port))
      assert(listener:accept())
    end)
  end)

  it("ends by StopServe also over Unix sockets, and while it waits for room",
    function()
      local path = os.tmpname()
      os.remove(path)
      local listener = assert(green.listen("unix:" .. path))
      local t = green.spawn(green.serve, listener, function(conn)
        conn:receive()
        error(green.StopServe)
      end, 1)
      local sock = assert(green.connect("unix:" .. path))
      sock:send("go\n")
      assert.is_true((t:wait(10)))
      listener:close()
    end)

  it("a late StopServe of a former serve does not end the next one", function()
    local listener, port = listening()
    local first = green.spawn(green.serve, listener, function(conn)
      conn:receive()
      error(green.StopServe)
    end)
    local late = assert(green.connect("127.0.0.1", port))
    eventually(function() return first:status() == "blocked" end)
    green.sleep(0.005)
    first:kill()
    first:join(10)
    local second = green.spawn(green.serve, listener, echo)
    late:send("go\n")
    assert.same({nil, "closed", ""}, {late:receive()})
    local sock = assert(green.connect("127.0.0.1", port))
    sock:send("x")
    assert.equal("x", sock:receive(1))
    listener:close()
    assert.is_true((second:wait(10)))
  end)

  it("runs no more than n handlers at a time; others wait to be accepted",
    function()
      local listener, port = listening()
      local running, most = 0, 0
      green.spawn_n(green.serve, listener, function(conn)
        running = running + 1
        most = math.max(most, running)
        conn:receive()
        running = running - 1
        conn:send("served\n")
      end, 2)
      local socks = {}
      for i = 1, 6 do socks[i] = assert(green.connect("127.0.0.1", port)) end
      eventually(function() return running == 2 end)
      for i = 1, 6 do
        socks[i]:send("go\n")
        assert.equal("served", socks[i]:receive())
      end
      assert.equal(2, most)
      listener:close()
    end)

  it("ends while it waits for room when the listener is closed, as soon as"
    .. " there is room", function()
    local listener, port = listening()
    local t = green.spawn(green.serve, listener, echo, 1)
    local sock = assert(green.connect("127.0.0.1", port))
    sock:send("a")
    assert.equal("a", sock:receive(1))
    listener:close()
    sock:close()
    assert.is_true((t:wait(10)))
  end)

  it("hands its handlers to a pool: anything with spawn_n", function()
    local listener, port = listening()
    local spawned = 0
    local pool = {}
    function pool.spawn_n(self, f, ...)
      assert(self == pool)
      spawned = spawned + 1
      green.spawn_n(f, ...)
    end
    green.spawn_n(green.serve, listener, echo, pool)
    local sock = assert(green.connect("127.0.0.1", port))
    sock:send("pooled")
    assert.equal("pooled", sock:receive(6))
    assert.equal(1, spawned)
    listener:close()
  end)

  it("closes a connection that the pool would not take", function()
    local listener, port = listening()
    local pool = {spawn_n = function() error("full") end}
    local t = green.spawn(pcall, green.serve, listener, echo, pool)
    local sock = assert(green.connect("127.0.0.1", port))
    local ok, err = t:wait(10)
    assert.is_false(ok)
    assert.matches("full", err)
    assert.same({nil, "closed", ""}, {sock:receive()})
  end)

  it("leaves the listener open when it is interrupted", function()
    local listener, port = listening()
    local ok, err = green.with_timeout(0.01, green.serve, listener, echo)
    assert.same({nil, "timeout"}, {ok, err})
    local sock = assert(green.connect("127.0.0.1", port))
    assert(listener:accept())
    assert(sock)
  end)

  it("returns the listener's own time limit", function()
    local listener = listening()
    listener:settimeout(0.01)
    assert.same({nil, "timeout"}, {green.serve(listener, echo)})
  end)

  it("survives a shortage of descriptors, and says so once", function()
    local listener, port = listening()
    local said, files = {}, {}
    local undo <close> = setmetatable({stderr = io.stderr}, {
      __close = function(self)
        io.stderr = self.stderr -- luacheck: ignore
        for _, file in ipairs(files) do file:close() end
      end,
    })
    assert(undo)
    io.stderr = {write = function(_, ...) -- luacheck: ignore
      said[#said + 1] = table.concat({...})
    end}
    -- Handlers of earlier tests end when their peers are collected.
    eventually(function()
      collectgarbage()
      return #green.threads() == 1
    end)
    collectgarbage()
    local t = green.spawn(green.serve, listener, echo)
    for i = 1, math.huge do
      files[i] = io.open("/dev/null")
      if not files[i] then break end
    end
    table.remove(files):close() -- for this end of the connection
    local sock = assert(green.connect("127.0.0.1", port))
    eventually(function() return #said > 0 end)
    green.sleep(0.05)
    for i = 1, 10 do files[i]:close() end
    files = {table.unpack(files, 11)}
    sock:send("survived")
    assert.equal("survived", sock:receive(8))
    assert.equal(1, #said)
    assert.matches("too many open files", said[1])
    listener:close()
    assert.is_true((t:wait(10)))
  end)

  it("raises for misuse, naming the function and the argument", function()
    local listener = listening()
    assert.error_matches(function() green.serve(nil, echo) end,
      "bad argument #1 to 'serve' %(listener expected, got nil%)")
    assert.error_matches(function() green.serve(listener, 1) end,
      "bad argument #2 to 'serve' %(function expected, got number%)")
    assert.error_matches(function() green.serve(listener, echo, 0) end,
      "bad argument #3 to 'serve'")
    assert.error_matches(function() green.serve(listener, echo, "x") end,
      "bad argument #3 to 'serve' %(number or pool expected, got string%)")
  end)
end)
