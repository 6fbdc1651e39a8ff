-- At the kernel's limit of epoll watches (ENOSPC), and where it has no memory,
-- libuv aborted the process; accept's error that belongs to one connection
-- ended green.serve; one that lasted was tried again for ever, in a loop.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

local START <const> = [[
local green = require "green"
local errors = {}
green.on_error(function(err) errors[#errors + 1] = tostring(err) end)
local l = assert(green.listen("127.0.0.1", 0))
local _, port = l:getsockname()
local function client()
  local c = assert(green.connect("127.0.0.1", port))
  c:settimeout(5)
  return c
end
local function serve()
  return green.spawn(green.serve, l, function(c)
    for line in c:lines() do c:send(line .. "\n") end
  end)
end
local function echo(c)
  c:send("x\n")
  return c:receive()
end
local function waits(t) -- it may have a turn just now
  while t:status() == "ready" do green.sleep(0) end
  return t:status() == "blocked"
end
]]

local function run(text) return preload.run(START .. text) end

describe("a descriptor that the kernel does not watch", function()
  teardown(preload.clean)

  it("is an error of the call that had to wait", function()
    run [[
      local c = client()
      local s = l:accept()
      local function refused(f, ...)
        failing.plan("epoll_ctl", 1, "ENOSPC", 1000)
        local results = table.pack(f(...))
        failing.off()
        assert(results[1] == nil and
          results[2] == "too many watched descriptors", results[2])
        return results[3]
      end
      refused(s.recv, s, 10)
      c:send("abc")
      assert(refused(s.receive, s, 10) == "abc")
      refused(green.wait_fd, s, "r")
      refused(green.select, {s})
      refused(l.accept, l)
      c:send("d\n")
      assert(s:receive() == "d")
      c = client()
      s = l:accept() -- one that is not watched yet
      local last = refused(s.send, s, ("x"):rep(10000000))
      assert(last > 0 and last < 10000000)
      assert(#c:receive(last) == last)]]
  end)

  it("is an error of connect", function()
    run [[
      local before = failing.dup(0)
      failing.close(before)
      failing.plan("epoll_ctl", 1, "ENOMEM", 1000)
      local c, err = green.connect("127.0.0.1", port)
      failing.off()
      assert(c == nil and err == "Cannot allocate memory", err)
      assert(failing.dup(0) == before, "its descriptor is closed")]]
  end)

  for _, name in ipairs {"ENOSPC", "ENOMEM"} do
    it("makes serve pause, and go on when there is room: " .. name, function()
      run(([[
        local t, first, clients = serve(), client(), {}
        assert(echo(first) == "x")
        t:kill()
        t:join()
        for i = 1, 200 do clients[i] = client() end
        failing.plan("epoll_ctl", 1, %q, 1000000)
        t = serve()
        while #errors == 0 do green.sleep(0.001) end
        green.sleep(0.3)
        assert(echo(first) == "x") -- is watched already
        assert(waits(t))
        assert(#errors < 150, #errors) -- all others wait to be accepted
        failing.off()
        assert(echo(client()) == "x")]]):format(name))
    end)
  end
end)

describe("an error of accept", function()
  teardown(preload.clean)

  it("belongs to one connection: serve accepts the next one", function()
    run [[
      for _, name in ipairs {"EPERM", "EPROTO", "ENONET", "ETIMEDOUT",
        "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ENOPROTOOPT",
        "EOPNOTSUPP", "ECONNABORTED", "ECONNRESET", "ENOSR", "EACCES",
        "ESOCKTNOSUPPORT", "EPROTONOSUPPORT", "EINTR", "EIO"} do
        local t = serve()
        green.sleep(0)
        failing.plan("accept4", 1, name, 3)
        for _ = 1, 3 do client():close() end
        assert(echo(client()) == "x")
        failing.off()
        assert(waits(t), name)
        t:kill()
        t:join()
      end
      assert(#errors == 0, errors[1])]]
  end)

  it("is a lack that passes: serve tries again", function()
    run [[
      for _, name in ipairs {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"} do
        local t = serve()
        green.sleep(0)
        failing.plan("accept4", 1, name, 3)
        assert(echo(client()) == "x")
        failing.off()
        assert(waits(t), name)
        t:kill()
        t:join()
      end]]
  end)

  it("lasts: it is tried again at leisure, and told once", function()
    local out = run [[
      local t = serve()
      green.sleep(0)
      failing.plan("accept4", 1, "ENETDOWN", 1000000000)
      client()
      green.sleep(0.5)
      local calls = failing.off().accept4
      assert(calls < 2000, calls)
      assert(waits(t))
      assert(echo(client()) == "x")]]
    local _, times = out:gsub("cannot accept", "")
    assert.equal(1, times)
  end)

  it("is returned by accept, if it lasts", function()
    run [[
      failing.plan("accept4", 1, "ENETDOWN", 1000000000)
      local c = client()
      local conn, err = l:accept()
      assert(conn == nil and err == "Network is down", err)
      failing.off()]]
  end)

  it("is the listener's own: serve returns it", function()
    run [[
      local t = serve()
      green.sleep(0)
      failing.plan("accept4", 1, "EINVAL")
      client()
      local ok, got, err = t:join(5)
      assert(ok and got == nil and err == "Invalid argument", err)]]
  end)
end)
