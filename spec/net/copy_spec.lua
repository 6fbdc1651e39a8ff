-- The promises of copies: bytes moved without strings.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"

--- Both ends of a connection.
local function pair()
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local near = assert(green.connect("127.0.0.1", port))
  return near, assert(listener:accept())
end

--- A source whose bytes come from `near`, and a sink that is read at `far`.
local function line()
  local near, from = pair()
  local to, far = pair()
  to:setoption("send-buffer-size", 65536)
  far:setoption("recv-buffer-size", 65536)
  return near, from, to, far, setmetatable({}, {__close = function()
    for _, sock in ipairs {near, from, to, far} do sock:close() end
  end})
end

local LARGE <const> = ("0123456789abcde\0"):rep(256 * 1024)

--- Lets the others run until the thread waits for room to write.
local function stuffed(t)
  help.wait_until(function()
    return t:blocked() and t:blocked().what == "socket:copy (write)"
  end)
  return t
end

--- Sends it all, and no more.
local function feed(sock, data)
  return green.spawn(function()
    assert(sock:send(data))
    sock:shutdown "send"
  end)
end

--- What comes until the end.
local function drain(sock)
  return green.spawn(function()
    local parts = {}
    for part in sock:chunks() do parts[#parts + 1] = part end
    return table.concat(parts)
  end)
end

describe("a copy", function()
  help.both(it, "moves all until the end, and leaves both open", function()
    local near, from, to, far, _ <close> = line()
    local fed, drained = feed(near, LARGE), drain(far)
    assert.equal(#LARGE, from:copy(to))
    assert.equal(0, from:copy(to))
    assert.equal(5, to:send "after")
    to:shutdown "send"
    assert.is_true(drained:wait() == LARGE .. "after")
    fed:wait()
  end)

  it("moves what was received already, and no more than it is told", function()
    local near, from, to, far, _ <close> = line()
    near:send "line\n0123456789"
    assert.equal("line", from:receive())
    assert.equal(4, from:copy(to, 4))
    assert.equal("0123", far:receive(4))
    assert.equal(0, from:copy(to, 0))
    assert.equal("456789", from:receive(6))
    near:send "abc"
    near:shutdown "send"
    assert.equal(3, from:copy(to, 100))
    assert.equal("abc", far:receive(3))
    local received, sent = from:getstats()
    assert.same({18, 0}, {received, sent})
    assert.equal(7, (select(2, to:getstats())))
  end)

  it("echoes, where both sides are one", function()
    local near, far = pair()
    local t = green.spawn(far.copy, far, far)
    near:send "echo"
    assert.equal("echo", near:receive(4))
    near:shutdown "send"
    assert.equal(4, t:wait())
    near:close()
    far:close()
  end)

  it("leaves what was not written with the source", function()
    local near, from, to, far, _ <close> = line()
    local fed = feed(near, LARGE)
    to:settimeout(0.02)
    local none, err, moved, side = from:copy(to)
    assert.same({nil, "timeout", true}, {none, err, side == to})
    assert.is_true(moved > 0 and moved < #LARGE)
    to:close()
    assert.is_true(from:dirty())
    local other, end_ = pair()
    local rest = drain(end_)
    assert.equal(#LARGE - moved, from:copy(other))
    other:close()
    assert.is_true(far:receive(moved) .. rest:wait() == LARGE)
    fed:wait()
    end_:close()
  end)

  help.both(it, "that is killed loses nothing, and can go on", function()
    local near, from, to, far, _ <close> = line()
    local fed = feed(near, LARGE)
    local function copy() return from:copy(to) end
    local got = {}
    for _ = 1, 3 do
      local t = stuffed(green.spawn(copy))
      t:kill()
      t:join()
      got[#got + 1] = far:receive(100000)
    end
    local t = green.spawn(copy)
    local drained = drain(far)
    t:wait()
    to:shutdown "send"
    got[#got + 1] = drained:wait()
    assert.is_true(table.concat(got) == LARGE)
    fed:wait()
  end)

  it("tells which side failed", function()
    local near, from, to, far, _ <close> = line()
    from:settimeout(0.001)
    local r = table.pack(from:copy(to))
    assert.same({nil, "timeout", 0}, {r[1], r[2], r[3]})
    assert.equal(from, r[4])
    from:settimeout()
    local t = help.blocked(green.spawn(from.copy, from, to))
    to:close()
    near:send "x"
    r = table.pack(t:wait())
    assert.same({nil, "closed", 0}, {r[1], r[2], r[3]})
    assert.equal(to, r[4])
    assert.equal("x", from:receive(1))
    t = help.blocked(green.spawn(from.copy, from, far))
    near:setoption("linger", {on = true, timeout = 0})
    near:close()
    r = table.pack(t:wait())
    assert.same({nil, "connection reset by peer", 0}, {r[1], r[2], r[3]})
    assert.equal(from, r[4])
  end)

  it("ends when its source is closed", function()
    local _, from, to, _, guard <close> = line()
    assert.is_table(guard)
    local t = help.blocked(green.spawn(from.copy, from, to))
    assert.is_false(pcall(from.receive, from))
    from:close()
    assert.same({nil, "closed", 0, from}, {t:wait()})
    assert.same({nil, "closed", 0, from}, {from:copy(to)})
  end)

  it("ends when the side it waits to write to is closed", function()
    local near, from, to, _, guard <close> = line()
    assert.is_table(guard)
    local fed = feed(near, LARGE)
    local t = stuffed(green.spawn(from.copy, from, to))
    to:close()
    local _, err, _, side = t:wait()
    assert.same({"closed", to}, {err, side})
    fed:kill()
    fed:join()
  end)

  it("takes turns with those that send", function()
    local near, from, to, far, _ <close> = line()
    local block = ("x"):rep(4 << 20)
    local sender = help.blocked(green.spawn(to.send, to, block))
    near:send "after"
    local t = help.blocked(green.spawn(from.copy, from, to, 5))
    assert.equal("socket:copy (turn)", t:blocked().what)
    assert.is_true(far:receive(#block) == block)
    assert.equal("after", far:receive(5))
    assert.equal(5, t:wait())
    sender:wait()
  end)

  it("says so where a send was cut before", function()
    local near, from, to, _, guard <close> = line()
    assert.is_table(guard)
    local sender = help.blocked(green.spawn(to.send, to, LARGE))
    sender:kill()
    sender:join()
    near:send "x"
    local _, err, moved = from:copy(to, 1)
    assert.matches("send was cut", err)
    assert.equal(0, moved)
  end)

  it("lets others run while both sides never wait", function()
    local near, from, to, far, _ <close> = line()
    local ticks, over = 0, false
    local other = green.spawn(function()
      while not over do
        ticks = ticks + 1
        green.sleep(0)
      end
    end)
    local fed, drained = feed(near, LARGE), drain(far)
    assert.equal(#LARGE, from:copy(to))
    over = true
    to:shutdown "send"
    drained:wait()
    other:wait()
    fed:wait()
    assert.is_true(ticks > 1)
  end)

  describe("of a file", function()
    it("sends it from where it stands", function()
      local file <close> = help.file(LARGE)
      local f <close> = assert(io.open(file.path, "rb"))
      local near, far = pair()
      assert.equal("0123", f:read(4))
      local drained = drain(far)
      assert.equal(12, green.copy(f, near, 12))
      assert.equal(16, f:seek())
      assert.equal(#LARGE - 16, green.copy(f, near))
      assert.equal(#LARGE, f:seek())
      assert.equal(0, green.copy(f, near))
      near:close()
      assert.is_true(drained:wait() == LARGE:sub(5))
      far:close()
    end)

    it("goes on where it was cut off", function()
      local file <close> = help.file(LARGE)
      local f <close> = assert(io.open(file.path, "rb"))
      local near, far = pair()
      near:setoption("send-buffer-size", 65536)
      near:settimeout(0.01)
      local _, err, moved, side = green.copy(f, near)
      assert.same({"timeout", near}, {err, side})
      assert.equal(moved, f:seek())
      near:settimeout()
      local t = help.blocked(green.spawn(green.copy, f, near))
      t:kill()
      t:join()
      local drained = drain(far)
      green.copy(f, near)
      near:close()
      assert.is_true(drained:wait() == LARGE)
      far:close()
    end)

    it("writes what comes into it", function()
      local file <close> = help.file ""
      local near, far = pair()
      local fed = feed(near, LARGE)
      do
        local f <close> = assert(io.open(file.path, "wb"))
        f:write "head"
        assert.equal(10, far:copy(f, 10))
        assert.equal(#LARGE - 10, far:copy(f))
      end
      fed:wait()
      local f <close> = assert(io.open(file.path, "rb"))
      assert.is_true(f:read "a" == "head" .. LARGE)
      near:close()
      far:close()
    end)

    it("survives a peer that is gone, without a signal", function()
      local out, how, code = help.child [[
        local green = require "green"
        local l = assert(green.listen("127.0.0.1", 0))
        local near = assert(green.connect("127.0.0.1",
          (select(2, l:getsockname()))))
        l:accept():close()
        local f = assert(io.open(arg[0]))
        local err
        repeat
          f:seek "set"
          err = select(2, green.copy(f, near))
          green.sleep(0)
        until err
        print(err)
      ]]
      assert.same({"exit", 0}, {how, code})
      assert.matches("^c[ol]", out) -- "closed", or "connection reset by peer"
    end)

    it("tells a disk that is full, and keeps the bytes", function()
      local near, far = pair()
      local file <close> = help.file ""
      local f <close> = assert(io.open(file.path, "rb")) -- not to be written
      near:send "x"
      local _, err, moved, side = far:copy(f, 1)
      assert.is_string(err)
      assert.same({0, f}, {moved, side})
      assert.equal("x", far:receive(1))
      near:close()
      far:close()
    end)
  end)

  it("raises for what it cannot copy", function()
    local near, from, to, _, guard <close> = line()
    assert.is_table(guard)
    local udp <close> = green.udp()
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    local closed = assert(io.open(arg[0]))
    closed:close()
    for _, bad in ipairs {{from}, {from, 1}, {1, to}, {from, udp},
        {listener, to}, {from, to, -1}, {from, to, "x"}, {closed, to},
        {from, closed}, {from, to, 0 / 0}} do
      assert.is_false(pcall(green.copy, table.unpack(bad, 1, 3)))
    end
    local p <close> = io.popen "true"
    assert.is_false(pcall(green.copy, p, near))
    local f <close> = assert(io.open(arg[0]))
    local g <close> = assert(io.open(arg[0]))
    assert.is_false(pcall(green.copy, f, g))
  end)
end)
