-- The promises of copies, and of calls that look at bytes, over TLS.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"

local certificates = pcall(require, "green.openssl")
  and require "spec.certificates"
if not certificates then
  it("needs TLS", function() pending "no OpenSSL, or no command of it" end)
  return
end

local LARGE <const> = ("0123456789abcde\0"):rep(128 * 1024)

local function params()
  return certificates.of("server", {mode = "server"}),
    {cafile = certificates.ca, verify = "none"}
end

--- Both ends of a connection with TLS, after the handshake.
local function pair()
  local server, client = params()
  local listener <close> = assert(green.listen("127.0.0.1", 0,
    {tls = server}))
  local _, port = listener:getsockname()
  local t = green.spawn(function()
    local far = assert(listener:accept())
    assert(far:handshake())
    return far
  end)
  local near = assert(green.connect("127.0.0.1", port, {tls = client}))
  return near, t:wait()
end

--- The same without.
local function plain()
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local near = assert(green.connect("127.0.0.1", port))
  return near, assert(listener:accept())
end

local function feed(sock, data)
  return green.spawn(function()
    assert(sock:send(data))
    assert(sock:shutdown "send")
  end)
end

local function drain(sock)
  return green.spawn(function() return (sock:receive "a") end)
end

describe("with TLS", function()
  it("a copy moves all, from one and to one", function()
    for _, kinds in ipairs {{pair, plain}, {plain, pair}, {pair, pair}} do
      local near, from = kinds[1]()
      local to, far = kinds[2]()
      local fed, drained = feed(near, LARGE), drain(far)
      assert.equal(#LARGE, from:copy(to))
      assert.equal(1, to:shutdown "send")
      assert.is_true(drained:wait() == LARGE)
      fed:wait()
      for _, sock in ipairs {near, from, to, far} do sock:close() end
    end
  end)

  it("a copy that is killed loses nothing, and can go on", function()
    local near, from = plain()
    local to, far = pair()
    local fed = feed(near, LARGE)
    for _ = 1, 3 do
      local t = help.blocked(green.spawn(from.copy, from, to))
      t:kill()
      t:join()
    end
    local drained = drain(far)
    assert(from:copy(to))
    to:shutdown "send"
    assert.is_true(drained:wait() == LARGE)
    fed:wait()
    for _, sock in ipairs {near, from, to, far} do sock:close() end
  end)

  it("a file is sent, and written", function()
    local near, far = pair()
    local source <close> = help.file(LARGE)
    local target <close> = help.file ""
    local t = green.spawn(function()
      local f <close> = assert(io.open(target.path, "wb"))
      return far:copy(f)
    end)
    local f <close> = assert(io.open(source.path, "rb"))
    assert.equal(#LARGE, green.copy(f, near))
    near:shutdown "send"
    assert.equal(#LARGE, t:wait())
    near:close()
    local g <close> = assert(io.open(target.path, "rb"))
    assert.is_true(g:read "a" == LARGE)
    far:close()
  end)

  it("bytes are looked at, and given back", function()
    local near, far = pair()
    near:send "hello\nmore"
    assert.equal("hel", far:peek(3))
    assert.equal("hello", far:receive())
    far:unread "again\n"
    assert.equal("again", far:receive())
    assert.is_true(far:readable())
    assert.equal("more", far:receive(4))
    assert.is_false(far:readable())
    near:abort()
    assert.is_nil((far:receive()))
    far:close()
  end)

  it("a server makes the handshake, behind a PROXY header, too", function()
    local server_params, client_params = params()
    for _, proxy in ipairs {false, true} do
      local server <close> = green.server {listen = "127.0.0.1:0",
        tls = server_params, proxy = proxy, handler = function(conn, peer)
          conn:send(peer.host .. " " .. (conn:receive() or "nothing") .. "\n")
        end}
      assert(server:start())
      local port = server:addresses()[1].port
      local conn = assert(green.connect("127.0.0.1", port))
      if proxy then conn:send "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" end
      assert(green.wrap_ssl(conn, client_params))
      conn:send "x\n"
      assert.equal((proxy and "1.2.3.4" or "127.0.0.1") .. " x",
        (conn:receive()))
      conn:close()
    end
  end)
end)
