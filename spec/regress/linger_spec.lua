-- Closing a socket with the option "linger" waited for the peer in the kernel,
-- and every thread with it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

--- A connection whose peer has not read what was sent; how much that is.
local function stuffed(options)
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  if options then assert(listener:setoption("linger", options)) end
  local far = assert(green.connect("127.0.0.1",
    (select(2, listener:getsockname()))))
  local near = assert(listener:accept())
  near:settimeout(0)
  local total, chunk = 0, ("x"):rep(65536)
  repeat
    local last, _, sent = near:send(chunk)
    total = total + (last or sent)
  until not last
  return near, far, total
end

local function took(f)
  local began = green.now()
  f()
  return green.now() - began
end

local LONG <const> = {on = true, timeout = 8}

describe("a socket that lingers", function()
  it("is closed at once, and the peer gets all", function()
    local near, far, total = stuffed()
    assert(near:setoption("linger", LONG))
    assert.same(LONG, near:getoption("linger"))
    assert.is_true(took(function() near:close() end) < 4)
    assert.equal(total, #far:receive("*a"))
    far:close()
  end)

  it("is so also where its listener had the option", function()
    local near, far, total = stuffed(LONG)
    assert.same(LONG, near:getoption("linger"))
    assert.is_true(took(function() near:close() end) < 4)
    assert.equal(total, #far:receive("*a"))
    far:close()
  end)

  it("and where the collector closes it", function()
    local near, far, total = stuffed()
    near:setoption("linger", LONG)
    near = nil -- luacheck: ignore
    assert.is_true(took(function()
      collectgarbage()
      collectgarbage()
    end) < 4)
    assert.equal(total, #far:receive("*a"))
    far:close()
  end)

  it("and where it was taken over from another object", function()
    local near, far, total = stuffed()
    near:setoption("linger", LONG)
    local other = green.socket.tcp()
    other:setfd(near:getfd())
    near:setfd(-1)
    assert.is_true(took(function() other:close() end) < 4)
    assert.equal(total, #far:receive("*a"))
    far:close()
  end)

  it("resets the connection if it lingers for no time", function()
    local near, far = stuffed()
    near:setoption("linger", {on = true, timeout = 0})
    near:close()
    local _, err = far:receive("*a")
    assert.equal("connection reset by peer", err)
    far:close()
  end)
end)

describe("a descriptor that blocks", function()
  it("does not, once a socket that is not connected has it", function()
    local socket = require "socket" -- LuaSocket's
    local theirs = assert(socket.tcp4())
    local ours = green.socket.tcp()
    ours:setfd(theirs:getfd())
    theirs:setfd(-1)
    -- A listener whose backlog is full does not answer.
    local full = assert(green.listen("127.0.0.1", 0, {backlog = 0}))
    local _, port = full:getsockname()
    local held = {}
    repeat
      local c, err = green.connect("127.0.0.1", port, {timeout = 0.05})
      held[#held + 1] = c
    until err or #held > 9
    ours:settimeout(0.1)
    assert.is_true(took(function()
      assert.same({nil, "timeout"}, {ours:connect("127.0.0.1", port)})
    end) < 4)
    for _, sock in ipairs(held) do sock:close() end
    ours:close()
    full:close()
  end)
end)
