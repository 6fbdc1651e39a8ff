-- Connections whose peers do what they like, and very many of them.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local EAGER <const> = os.getenv "LUAGREEN_EAGER_GC" ~= nil

--- Both ends, and what closes them.
local function ends(near, far)
  local function close()
    near:close()
    far:close()
  end
  return near, far, setmetatable({}, {__close = close})
end

local function tcp()
  local l <close> = assert(green.listen("127.0.0.1", 0))
  local host, port = l:getsockname()
  local near = assert(green.connect(host, port))
  return ends(near, assert(l:accept()))
end

local function unix()
  local path = os.tmpname()
  os.remove(path)
  local l <close> = assert(green.listen("unix:" .. path))
  local near = assert(green.connect("unix:" .. path))
  return ends(near, assert(l:accept()))
end

local function reset(sock)
  assert(sock:setoption("linger", {on = true, timeout = 0}))
  sock:close()
end

--- The descriptors of this process.
local function descriptors()
  local n = 0
  local pipe <close> = assert(io.popen("ls /proc/$PPID/fd"))
  for _ in pipe:lines() do n = n + 1 end
  return n
end

for name, pair in pairs {tcp = tcp, unix = unix} do
  describe("a connection over " .. name, function()
    help.both(it, "moves more than all buffers hold, both ways at once",
      function()
        local near, far, _ <close> = pair()
        local n <const> = EAGER and 300000 or 8000001
        local data = ("\0\1\n\255 seven"):rep(n // 10 + 1):sub(1, n)
        local group <close> = green.group()
        for _, sock in ipairs {near, far} do
          group:spawn(function()
            assert.equal(n, sock:send(data))
            sock:shutdown "send"
          end)
          group:spawn(function()
            local got = sock:receive "a"
            assert.is_true(got == data)
            assert.same({nil, "closed"}, {sock:recv(1)})
          end)
        end
        group:wait()
      end)

    it("has lines of a megabyte", function()
      local near, far, _ <close> = pair()
      local line = ("0123456789abcdef"):rep(65536)
      local t = green.spawn(function()
        for _ = 1, 3 do assert(near:send(line .. "\n")) end
        near:shutdown "send"
      end)
      local n = 0
      for got in far:lines() do
        n = n + 1
        assert.is_true(got == line)
      end
      assert.equal(3, n)
      t:wait()
    end)

    it("sends to a reader that is slow, and keeps no copy of it", function()
      local near, far, _ <close> = pair()
      local n <const> = EAGER and 16 << 20 or 64 << 20
      local data = ("x"):rep(n)
      local t = green.spawn(near.send, near, data)
      help.blocked(t)
      assert.is_true(green.stats().memory < 16 << 20)
      local got = 0
      while got < n do
        got = got + #assert(far:recv(65536))
        if got % 7 == 0 then green.sleep(0) end
      end
      assert.equal(n, t:wait())
    end)

    it("may be shut in one direction and go on in the other", function()
      local near, far, _ <close> = pair()
      near:shutdown "send"
      assert.same({nil, "closed"}, {far:recv(10)})
      assert.equal(5, far:send "hello")
      assert.equal("hello", near:receive(5))
      -- A reader that waits is told; a writer is refused.
      local reader = help.blocked(green.spawn(near.recv, near, 10))
      far:shutdown "send"
      assert.same({nil, "closed"}, {reader:wait()})
      local sent, err = near:send "more"
      assert.is_nil(sent)
      assert.is_string(err)
    end)

    it("wakes each call that waits when this end closes", function()
      for call, f in pairs {
        recv = function(sock) return sock:recv(10) end,
        receive = function(sock) return sock:receive "l" end,
        count = function(sock) return sock:receive(10) end,
        all = function(sock) return sock:receive "a" end,
        send = function(sock) return sock:send(("x"):rep(16 << 20)) end,
      } do
        local near, _, _ <close> = pair()
        local t = help.blocked(green.spawn(f, near))
        near:close()
        local value, err = t:wait()
        assert.is_nil(value, call)
        assert.equal("closed", err, call)
      end
    end)

    it("wakes each call that waits when the peer has gone", function()
      for call, f in pairs {
        recv = function(sock) return sock:recv(10) end,
        line = function(sock) return sock:receive "l" end,
        count = function(sock) return sock:receive(10) end,
        send = function(sock) return sock:send(("x"):rep(16 << 20)) end,
      } do
        local near, far, _ <close> = pair()
        local t = help.blocked(green.spawn(f, near))
        far:close()
        local value, err = t:wait()
        assert.is_nil(value, call)
        assert.is_string(err, call)
      end
    end)
  end)
end

describe("a connection that the peer resets", function()
  it("tells each call that waits", function()
    for call, f in pairs {
      recv = function(sock) return sock:recv(10) end,
      line = function(sock) return sock:receive "l" end,
      count = function(sock) return sock:receive(10) end,
      all = function(sock) return sock:receive "a" end,
      lines = function(sock)
        for _ in sock:lines() do end
        return true
      end,
      send = function(sock) return sock:send(("x"):rep(16 << 20)) end,
    } do
      local near, far, _ <close> = tcp()
      local t = help.blocked(green.spawn(function()
        local ok, value, err = pcall(f, near)
        return not ok and value or err
      end))
      reset(far)
      assert.matches("[Cc]onnection reset by peer$", t:wait(), 1, false, call)
    end
  end)

  it("says so again, and closes like any other", function()
    local near, far, _ <close> = tcp()
    reset(far)
    for _ = 1, 3 do
      local data, err = near:recv(10)
      assert.is_nil(data)
      assert.matches("reset by peer", err)
    end
    assert.equal(1, near:close())
  end)

  it("does not disturb its neighbours", function()
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local host, port = l:getsockname()
    local server = green.spawn(green.serve, l, function(conn)
      for data in conn:chunks() do conn:send(data) end
    end)
    green.on_error(function() end) -- resets are told there
    local good = {}
    for i = 1, 10 do good[i] = assert(green.connect(host, port)) end
    for _ = 1, EAGER and 5 or 50 do
      local bad = assert(green.connect(host, port))
      bad:send(("x"):rep(1000))
      reset(bad)
    end
    for i, conn in ipairs(good) do
      conn:send("hello " .. i .. "\n")
      assert.equal("hello " .. i, conn:receive())
      conn:close()
    end
    server:kill()
    green.on_error()
  end)
end)

describe("many connections", function()
  it("that are opened and dropped leave nothing", function()
    local n <const> = EAGER and 200 or 10000
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local host, port = l:getsockname()
    local served = 0
    local server = green.spawn(green.serve, l, function(conn)
      conn:settimeout(10)
      conn:recv(1)
      served = served + 1
    end)
    collectgarbage()
    local before = descriptors()
    local group <close> = green.group()
    for _ = 1, 20 do
      group:spawn(function()
        for _ = 1, n // 20 do
          local conn <close> = assert(green.connect(host, port))
          -- Ports are few: none is kept for a minute.
          conn:setoption("linger", {on = true, timeout = 0})
        end
      end)
    end
    group:wait()
    help.wait_until(function() return #green.threads() <= 2 end, "an end")
    help.wait_until(function() return descriptors() <= before end, "an end")
    assert.is_true(served <= n)
    server:kill()
  end)

  it("are served at once, and each has its own bytes", function()
    local n <const> = EAGER and 50 or 1000
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local host, port = l:getsockname()
    local server = green.spawn(green.serve, l, function(conn)
      for line in conn:lines() do conn:send(line .. "!\n") end
    end)
    local group <close> = green.group()
    local arrived = green.event()
    local open = 0
    for i = 1, n do
      group:spawn(function()
        local conn <close> = assert(green.connect(host, port))
        open = open + 1
        if open == n then arrived:send(true) end
        arrived:wait()
        for round = 1, 3 do
          conn:send(i .. "/" .. round .. "\n")
          assert.equal(i .. "/" .. round .. "!", conn:receive())
        end
      end)
    end
    group:wait()
    assert.equal(n, open)
    server:kill()
  end)
end)
