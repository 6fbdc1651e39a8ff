-- Closing a connection that had not waited itself did not end a wait_fd on it:
-- libuv aborted the process if it had not polled yet; otherwise the wait went
-- on, and ended when a new connection with the same number was ready.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function accepted(listener)
  local _, port = listener:getsockname()
  local client = assert(green.connect("127.0.0.1", port))
  return client, assert(listener:accept())
end

local function waiter(what)
  return help.blocked(green.spawn(green.wait_fd, what, "r"))
end

describe("wait_fd on a connection that nobody has read from", function()
  local listener
  before_each(function() listener = assert(green.listen("127.0.0.1", 0)) end)
  after_each(function() listener:close() end)

  for _, when in ipairs {"at once", "after a poll"} do
    it("says closed when it is closed " .. when, function()
      local client, conn = accepted(listener)
      local t = waiter(conn)
      if when ~= "at once" then green.sleep(0.001) end
      conn:close()
      assert.same({true, nil, "closed"}, {t:join(5)})
      client:close()
    end)
  end

  it("says so to whoever waits for its number, to read and to write",
    function()
      local client, conn = accepted(listener)
      while conn:send(("x"):rep(65536), 1, -1) do
        conn:settimeout(0)
      end
      local r, w = waiter(conn:getfd()),
        help.blocked(green.spawn(green.wait_fd, conn:getfd(), "w"))
      conn:close()
      assert.same({true, nil, "closed"}, {r:join(5)})
      assert.same({true, nil, "closed"}, {w:join(5)})
      client:close()
    end)

  it("is not woken for the next one with its number", function()
    local client, conn = accepted(listener)
    local _, port = listener:getsockname()
    local client2 = assert(green.connect("127.0.0.1", port))
    local number = conn:getfd()
    local t = waiter(number)
    conn:close()
    local conn2 = listener:accept()
    assert.equal(number, conn2:getfd())
    client2:send("x")
    assert.same({true, nil, "closed"}, {t:join(5)})
    assert.equal("x", conn2:recv(1))
    for _, s in ipairs {client, client2, conn2} do s:close() end
  end)

  it("is there for a second one, and for the connection itself", function()
    local client, conn = accepted(listener)
    for _ = 1, 3 do
      local t = waiter(conn)
      client:send("x")
      assert.same({true, true}, {t:join(5)})
      assert.equal("x", conn:recv(1))
    end
    client:close()
    conn:close()
  end)

  it("finds bytes that the connection has received already", function()
    local client, conn = accepted(listener)
    client:send("one\ntwo\n")
    assert.equal("one", conn:receive())
    assert.is_true(green.wait_fd(conn, "r", 0))
    assert.is_true(green.wait_fd(conn, "r", 1))
    client:close()
    conn:close()
  end)
end)

describe("wait_fd on what is no descriptor", function()
  it("does not take a number modulo 2^32", function()
    local zero = 1 << 32
    assert.same({nil, "closed"}, {green.wait_fd(zero, "r", 0)})
    assert.same({nil, "closed"}, {green.wait_fd(zero, "r", 1)})
  end)
end)
