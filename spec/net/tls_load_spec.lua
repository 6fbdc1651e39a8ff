-- The promises of TLS where there is much of it: connections, bytes,
-- new keys under way; and behind a PROXY header.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"
local tls = require "spec.tls"

if not tls then
  it("needs TLS", function() pending "no OpenSSL, or no command of it" end)
  return
end

local HOST <const> = "127.0.0.1"
--- Handshakes are slow under ASan, and each collection walks all connections.
local SLOW <const> = (os.getenv "LD_PRELOAD" or ""):find "asan" ~= nil
  or os.getenv "LUAGREEN_EAGER_GC" ~= nil
local certs <const> = tls.certificates

--- n clients of the server at that port, all open at once.
local function clients(port, n)
  local context = assert(green.tls.context {cafile = certs.ca})
  local list = {}
  local g <close> = green.group()
  for i = 1, n do
    g:spawn(function()
      list[i] = assert(green.connect(HOST, port, {tls = context}))
    end)
  end
  g:wait()
  return list
end

local function close_all(list)
  for _, conn in ipairs(list) do conn:close() end
end

describe("TLS", function()
  it("serves a thousand connections at once", function()
    local l, port, t = tls.echo()
    local n <const> = SLOW and 60 or 1000
    local conns = clients(port, n)
    for i, conn in ipairs(conns) do assert(conn:send(i .. "\n")) end
    for i, conn in ipairs(conns) do
      assert.equal(tostring(i), conn:receive())
    end
    close_all(conns)
    l:close()
    t:wait()
  end)

  it("has its context reloaded while a hundred connections talk", function()
    local context = green.tls.context(certs.of("server", {mode = "server"}))
    local l, port, t = tls.echo(context)
    local n <const> = SLOW and 20 or 100
    local conns, rounds, stop = clients(port, n), {}, false
    local talkers = {}
    for i, conn in ipairs(conns) do
      rounds[i] = 0
      talkers[i] = green.spawn(function()
        repeat
          assert(conn:send("ping\n"))
          assert(conn:receive() == "ping")
          rounds[i] = rounds[i] + 1
        until stop
      end)
    end
    local function each_goes_on()
      local before = table.move(rounds, 1, n, 1, {})
      help.wait_until(function()
        for i = 1, n do
          if rounds[i] < before[i] + 2 then return false end
        end
        return true
      end)
    end
    each_goes_on()
    assert(context:reload(certs.of "second"))
    each_goes_on()
    local new = assert(tls.client(port, {servername = "x.second.example"}))
    assert.equal("CN=second", new:tls().peer.subject)
    new:close()
    for i = 1, n do assert.equal("CN=server", conns[i]:tls().peer.subject) end
    stop = true
    for _, talker in ipairs(talkers) do talker:wait() end
    close_all(conns)
    l:close()
    t:wait()
  end)

  it("gets new keys while both directions are full, and loses no byte",
    function()
      local update = tls.key_update()
      local near, far = tls.pair()
      local size <const> = SLOW and 1 << 20 or 6 << 20
      local data = ("0123456789abcdef"):rep(size // 16)
      for _, conn in ipairs {near, far} do
        conn:setoption("send-buffer-size", 32768)
        conn:setoption("recv-buffer-size", 32768)
      end

      --- Its reader begins when its writer has no room any more.
      local function both(conn)
        local updates = 0
        local writer = green.spawn(function()
          for at = 1, size, 100000 do
            if at % 300000 == 1 then
              assert(update(conn))
              updates = updates + 1
            end
            assert(conn:send(data, at, math.min(at + 99999, size)))
          end
        end)
        help.blocked(writer)
        local parts, left = {}, size
        while left > 0 do
          local part = assert(conn:recv(math.random(1, 60000)))
          parts[#parts + 1] = part
          left = left - #part
        end
        writer:wait()
        assert.equal(0, left)
        assert.is_true(table.concat(parts) == data)
        assert.is_true(updates > 3)
      end

      local a, b = green.spawn(both, near), green.spawn(both, far)
      a:wait()
      b:wait()
      assert.equal(1, near:send "x")
      assert.equal("x", far:recv(1))
      near:close()
      far:close()
    end)

  it("answers a peer's request for new keys that reads nothing", function()
    local update = tls.key_update()
    local near, far = tls.pair()
    local writer = help.blocked(green.spawn(function()
      local data = ("x"):rep(1 << 16)
      for _ = 1, 200 do assert(far:send(data)) end
      return true
    end))
    -- Each of these asks for an answer, for which there is no room.
    for i = 1, 100 do
      assert(update(near))
      assert(near:send(i .. "\n"))
      assert.equal(tostring(i), far:receive())
    end
    help.blocked(writer)
    assert.equal(200 << 16, #assert(near:receive(200 << 16)))
    assert.is_true(writer:wait())
    near:close()
    far:close()
  end)

  it("gives openssl s_client new keys whenever it asks", function()
    local l, port = tls.listening()
    local piece, over = ("\1"):rep(1 << 20), help.name()
    local t = green.spawn(function()
      local _ <close> = setmetatable({}, {__close = function()
        io.open(over, "w"):close()
      end})
      local conn <close> = assert(l:accept())
      local list = {}
      for line in conn:lines() do
        if line ~= "K" then -- as it is if it came together with a number
          list[#list + 1] = line
          assert(conn:send(piece))
        end
        if #list == 4 then break end
      end
      conn:shutdown "send"
      conn:receive "a"
      return table.concat(list, " ")
    end)
    -- s_client takes what it reads for a command if it begins with K, and
    -- leaves what it has not read at the end of its input.
    local said = tls.run("(for i in 1 2 3 4; do echo $i; sleep 0.05; echo K; "
      .. "sleep 0.05; done; while [ ! -e %s ]; do sleep 0.05; done) | openssl "
      .. "s_client -connect %s:%d -tls1_3 -CAfile ca.pem | tr -cd '\\001' "
      .. "| wc -c", over, HOST, port)
    assert.equal("1 2 3 4", t:wait())
    assert.equal(4 << 20, math.tointeger(said:match "(%d+)%s*$"), said)
    l:close()
  end)
end)

describe("A server with TLS behind a PROXY header", function()
  local V2 <const> = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\12"
    .. "\1\2\3\4\5\6\7\8\1\2\0\2"
  local V1 <const> = "PROXY TCP4 1.2.3.4 5.6.7.8 258 22\r\n"

  local function started()
    local server = green.server {listen = HOST .. ":0", proxy = true,
      tls = certs.of "server", handshake = 5, handler = function(conn, peer)
        local line = conn:receive()
        conn:send(("%s %s %s\n"):format(peer.host, peer.port, line))
      end}
    assert(server:start())
    return server, server:addresses()[1].port
  end

  it("tells the peer, in both versions, whole or in pieces", function()
    local server <close>, port = started()
    for _, header in ipairs {V1, V2} do
      for piece = 1, #header, #header - 1 do
        local conn <close> = assert(green.connect(HOST, port))
        for at = 1, #header, piece == 1 and #header or 7 do
          conn:send(header, at, piece == 1 and #header or at + 6)
          green.sleep(0)
        end
        assert(green.wrap_ssl(conn, {cafile = certs.ca, servername = HOST}))
        conn:send "hello\n"
        assert.equal("1.2.3.4 258 hello", conn:receive())
      end
    end
    assert.equal(0, server:stats().not_introduced)
  end)

  it("takes header and hello that come together apart", function()
    local server <close>, port = started()
    for _, header in ipairs {V1, V2} do
      -- The same send passes the client's bytes on behind the header.
      local l = assert(green.listen(HOST, 0))
      local t = green.spawn(function()
        local near <close> = assert(l:accept())
        local far <close> = assert(green.connect(HOST, port))
        far:send(header .. near:recv(65536))
        local back = green.spawn(near.copy, near, far)
        far:copy(near)
        back:kill()
      end)
      local conn <close> = assert(green.connect(HOST,
        (select(2, l:getsockname())),
        {tls = {cafile = certs.ca, servername = HOST}}))
      conn:send "hello\n"
      assert.equal("1.2.3.4 258 hello", conn:receive())
      conn:close()
      t:join()
      l:close()
    end
    assert.equal(0, server:stats().not_introduced)
  end)

  it("hangs up on TLS without it", function()
    local server <close>, port = started()
    local conn, err = tls.client(port)
    assert.is_nil(conn)
    assert.is_string(err)
    help.wait_until(function() return server:stats().not_introduced == 1 end)
  end)
end)
