-- A limit of a whole call began anew after the handshake that the call had to
-- make first, after sendto's look-up, and at each wait of sendfd and shutdown.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local it = require "green.test".it(it)
local help = require "spec.help"
local tls = require "spec.tls"

--- Seconds on the virtual clock: of the limit, and of what goes before.
local LIMIT <const>, BEFORE <const> = 10, 6

--- Runs call(sock), which has to end when the limit is over.
local function ends_in_time(sock, call)
  for _, mode in ipairs {"t", "b"} do
    local began = green.now()
    sock:settimeout(nil)
    sock:settimeout(LIMIT, mode)
    local result, err = call(sock)
    assert.same({nil, "timeout"}, {result, err})
    local took = green.now() - began
    assert.is_true(took >= LIMIT and took < LIMIT + 1, "took " .. took)
    if mode == "t" then sock:settimeout(-1, "t") end
  end
end

if tls then
  local certs <const> = tls.certificates

  --- A server's connection whose peer makes the handshake later, then is mute.
  local function late(call)
    local l, port = tls.listening()
    for _, mode in ipairs {"t", "b"} do
      local raw = assert(green.connect("127.0.0.1", port))
      local far = assert(l:accept())
      -- With large buffers a send of 32 MB takes 0.3 s, for each seed.
      assert(far:setoption("send-buffer-size", 1 << 16))
      assert(raw:setoption("recv-buffer-size", 1 << 16))
      far:settimeout(LIMIT, mode)
      local t = green.spawn(function()
        green.sleep(BEFORE)
        return green.wrap_ssl(raw, {cafile = certs.ca, verify = "none"})
      end)
      local began = green.now()
      local result, err = call(far)
      local took = green.now() - began
      assert.same({nil, "timeout"}, {result, err})
      assert.is_true(took >= LIMIT and took < LIMIT + 1, "took " .. took)
      assert.truthy(t:wait())
      far:close()
      raw:close()
    end
    l:close()
  end

  local rows <const> = {
    recv = function(c) return c:recv(1) end,
    receive = function(c) return c:receive() end,
    peek = function(c) return c:peek(1) end,
    send = function(c) return c:send(("x"):rep(4 << 20)) end,
    copy = function(c)
      local a, b = green.socketpair()
      local result, err = c:copy(a)
      a:close()
      b:close()
      return result, err
    end,
  }

  describe("A limit covers the handshake that comes first", function()
    for name, call in pairs(rows) do
      it("in " .. name, function() late(call) end)
    end
  end)
end

describe("A limit is one of the whole call", function()
  it("in sendfd, whose turn comes late", function()
    local a, b = green.socketpair()
    local writer = green.spawn(function() return a:send(("x"):rep(8 << 20)) end)
    help.blocked(writer)
    ends_in_time(a, function() return a:sendfd(0) end)
    writer:kill()
    writer:join()
    a:close()
    b:close()
  end)

  it("in sendto, whose name is looked up first", function()
    green.config {resolver = function()
      green.sleep(BEFORE)
      return {"127.0.0.1"}, 0
    end}
    local reset <close> = setmetatable({}, {__close = function()
      green.config {resolver = false}
    end})
    assert(reset)
    local sock <close> = green.udp()
    sock:settimeout(LIMIT / 2)
    local began = green.now()
    local _, err = sock:sendto("x", "name.example", 9)
    assert.equal("timeout", err)
    assert.is_true(green.now() - began < BEFORE)
  end)
end)
