-- A descriptor that another library closed while a thread waited for it ended
-- the process: libuv aborts when the kernel refuses to watch. One whose file
-- lived on in a duplicate kept the process busy, and woke the wrong threads.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

local START <const> = [[
local green = require "green"
local function waiter(fd, event)
  local t = green.spawn(green.wait_fd, fd, event or "r")
  green.sleep(0)
  return t
end
local function told(t)
  local ok, got, err = t:join(5)
  assert(ok == true and got == nil and err == "closed",
    tostring(got) .. " " .. tostring(err))
end
local function polls() return green.stats().polls end
local function idle()
  green.sleep(0.01)
  local before = polls()
  green.sleep(0.1)
  assert(polls() - before < 20, polls() - before .. " polls")
end
]]

local function run(text) return preload.run(START .. text) end

describe("a descriptor that strangers close", function()
  teardown(preload.clean)

  it("says so to those who wait for it", function()
    run [[
      for _, nap in ipairs {0, 0.001, 0.06} do
        local a, b = failing.pair()
        local t = waiter(a)
        green.sleep(nap)
        failing.close(a)
        told(t)
        failing.close(b)
      end]]
  end)

  it("says so while many others are busy", function()
    run [[
      for _ = 1, 200 do
        green.spawn(function() for _ = 1, 50 do green.sleep(0) end end)
      end
      local a, b = failing.pair()
      local t = waiter(a)
      failing.close(a)
      told(t)]]
  end)

  it("is not mixed up with its successor", function()
    run [[
      local a, b = failing.pair()
      local old = waiter(a)
      green.sleep(0.001)
      failing.close(a)
      local c, d = failing.pair()
      assert(c == a)
      local new = waiter(c)
      told(old)
      assert(new:status() == "blocked")
      failing.write(d, "x")
      assert(new:wait() == true)]]
  end)

  it("is not mixed up with a connection of ours", function()
    run [[
      local l = assert(green.listen("127.0.0.1", 0))
      local _, port = l:getsockname()
      local a, b = failing.pair()
      local old = waiter(a)
      green.sleep(0.001)
      failing.close(a)
      local client = assert(green.connect("127.0.0.1", port))
      assert(client:getfd() == a)
      told(old)
      local conn = l:accept()
      client:send("x")
      assert(conn:recv(1) == "x")]]
  end)

  it("lives on as a duplicate, which keeps nobody busy", function()
    run [[
      local a, b = failing.pair()
      local copy = failing.dup(a)
      local t = waiter(a)
      green.sleep(0.001)
      failing.close(a)
      failing.write(b, "x")
      t:join(5)
      idle()
      assert(green.wait_fd(copy, "r", 1))]]
  end)

  it("lives on in a forked child, which keeps nobody busy", function()
    run [[
      local a, b = failing.pair()
      local t = waiter(a)
      green.sleep(0.001)
      local child = failing.sleeper()
      failing.close(a)
      failing.write(b, "x")
      t:join(5)
      idle()
      local c, d = failing.pair()
      local u = waiter(c)
      failing.write(d, "x")
      assert(u:wait() == true)
      failing.kill(child)]]
  end)

  it("was ours: its socket is closed, and closes nobody else's", function()
    run [[
      local l = assert(green.listen("127.0.0.1", 0))
      local _, port = l:getsockname()
      local client = assert(green.connect("127.0.0.1", port))
      local conn = l:accept()
      local reader = green.spawn(conn.receive, conn)
      green.sleep(0.001)
      local number = conn:getfd()
      failing.close(number)
      local other = assert(green.connect("127.0.0.1", port))
      assert(other:getfd() == number)
      local ok, line, err = reader:join(5)
      assert(ok and line == nil and err == "closed", err)
      conn:close()
      assert(failing.is_open(number))
      assert(other:send("x"))
      assert(l:accept():recv(1) == "x")]]
  end)

  it("becomes a file, or an eventfd, or another socket", function()
    run [[
      for _, make in ipairs {failing.file, failing.eventfd, failing.pair} do
        local a, b = failing.pair()
        local t = waiter(a)
        green.sleep(0.001)
        failing.dup2(make(), a)
        told(t)
        green.wait_fd(a, "w", 1)
        failing.close(a) failing.close(b)
      end
      assert(green.wait_fd(failing.file(), "r") == true)]]
  end)

  it("is a LuaSocket object", function()
    local out = run [[
      local ok, socket = pcall(require, "socket")
      if not ok then print "no LuaSocket" os.exit(0) end
      for _, kill in ipairs {true, false} do
        local udp = assert(socket.udp())
        udp:setsockname("127.0.0.1", 0)
        udp:settimeout(0)
        local t = waiter(udp)
        if kill then t:kill() end
        udp:close()
        if kill then t:join(5) else told(t) end
      end]]
    if out:find "no LuaSocket" then pending "no LuaSocket here" end
  end)
end)
