-- The promises of connections with TLS.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"
local tls = require "spec.tls"

if not tls then
  describe("TLS", function()
    it("is tested", function()
      pending "green.openssl is not built, or there is no openssl command"
    end)
  end)
  return
end

local HOST <const> = "127.0.0.1"
local certs <const> = tls.certificates
local listening <const>, client <const> = tls.listening, tls.client
local pair <const>, echo <const> = tls.pair, tls.echo
local plain <const>, run <const> = tls.plain, tls.run

describe("TLS", function()
  local on_error
  local reports
  before_each(function()
    reports = {}
    on_error = green.on_error(function(err) reports[#reports + 1] = err end)
  end)
  after_each(function()
    green.on_error(on_error)
    assert.same({}, reports)
  end)

  describe("a connection", function()
    it("has the methods of a plain one", function()
      local near, far = pair()
      assert.equal("tcp{client}", near.class)
      assert.equal(4, near:send("one\n"))
      assert.equal("one", far:receive())
      assert.equal(2, far:send("xaby", 2, 3) - 1)
      assert.equal("ab", near:recv(100))
      near:send("1\n2\nrest")
      near:close()
      local lines = {}
      for line in far:lines() do lines[#lines + 1] = line end
      assert.same({"1", "2", "rest"}, lines)
      far:close()
    end)

    it("holds what recv was not asked for", function()
      local near, far = pair()
      near:send("abcdef")
      assert.equal("ab", far:recv(2))
      assert.equal("cd", far:recv(2))
      assert.truthy(far:dirty())
      assert.equal(1, (green.select({far}, 0)))
      assert.equal("ef", far:receive(2))
      assert.falsy(far:dirty())
      assert.same({nil, "timeout"}, {green.select({far}, 0)})
      near:close()
      far:close()
    end)

    it("keeps limits, and what was received before", function()
      local near, far = pair()
      near:send("abc")
      far:settimeout(0.02)
      assert.same({nil, "timeout", "abc"}, {far:receive(5)})
      far:settimeout(0)
      assert.same({nil, "timeout"}, {far:recv(1)})
      near:close()
      far:close()
    end)

    it("raises what strikes its thread, and loses no bytes", function()
      local near, far = pair()
      local t = help.blocked(green.spawn(function() return far:receive(4) end))
      near:send("ab")
      help.quiet()
      t:kill()
      t:join()
      near:send("cd")
      assert.equal("abcd", far:receive(4))
      near:close()
      far:close()
    end)

    it("is read by one and written by another at the same time", function()
      local near, far = pair()
      local size = 3000000
      local data = ("0123456789abcdef"):rep(size // 16)
      local got = {}
      local function both(conn)
        local writer = green.spawn(function() assert(conn:send(data)) end)
        local received = assert(conn:receive(size))
        got[#got + 1] = received == data
        writer:wait()
      end
      local a, b = green.spawn(both, near), green.spawn(both, far)
      a:wait()
      b:wait()
      assert.same({true, true}, got)
      near:close()
      far:close()
    end)

    it("sends wholes: writers take turns", function()
      local near, far = pair()
      local size = 200000
      for _, c in ipairs {"a", "b", "c"} do
        green.spawn(function() assert(near:send(c:rep(size))) end)
      end
      for _ = 1, 3 do
        local s = assert(far:receive(size))
        assert.equal(s:sub(1, 1):rep(size), s)
      end
      near:close()
      far:close()
    end)

    it("waits for room, and goes on where a limit ended it", function()
      local near, far = pair()
      near:settimeout(0)
      local data = ("x"):rep(100000)
      local sent = 0
      while true do
        local last, err, partial = near:send(data)
        sent = sent + (last or partial)
        if not last then
          assert.equal("timeout", err)
          break
        end
      end
      near:settimeout()
      local t = green.spawn(function() return far:receive(sent + 1) end)
      assert.equal(1, near:send("y"))
      local all = assert(t:wait())
      assert.equal(("x"):rep(sent) .. "y", all)
      near:close()
      far:close()
    end)

    it("is readable in select when bytes of its peer's have come", function()
      local near, far = pair()
      local t = help.blocked(green.spawn(green.select, {far}))
      near:send("x")
      assert.equal(1, (t:wait()))
      assert.equal("x", far:recv(1))
      near:close()
      far:close()
    end)

    it("may be closed while others wait in it", function()
      local near, far = pair()
      local reader = help.blocked(green.spawn(function()
        return far:recv(1)
      end))
      far:close()
      assert.same({nil, "closed"}, {reader:wait()})
      near:close()
    end)

    it("makes the handshake when it is first used, whoever does", function()
      local l, port = listening()
      local t = green.spawn(client, port)
      local far = assert(l:accept())
      local reader = green.spawn(function() return far:receive() end)
      local writer = green.spawn(function() return far:send("hello\n") end)
      local near = assert(t:wait())
      assert.equal("hello", near:receive())
      near:send("you\n")
      assert.equal("you", reader:wait())
      assert.equal(6, writer:wait())
      near:close()
      far:close()
      l:close()
    end)
  end)

  describe("the end", function()
    it("of one direction leaves the other, both ways", function()
      local near, far = pair()
      near:send("question")
      assert.equal(1, near:shutdown("send"))
      assert.same({nil, "closed", 0}, {near:send("more")})
      assert.equal("question", far:receive("*a"))
      far:send("answer")
      far:shutdown("send")
      assert.equal("answer", near:receive("*a"))
      near:close()
      far:close()
    end)

    it("without the peer's word is an error", function()
      local near, far = pair()
      far:send("part")
      local fd = far:getfd()
      far:setfd(-1) -- lets go of TLS
      local bare = green.socket.tcp()
      bare:setfd(fd)
      bare:close()
      assert.same({nil, "truncated", "part"}, {near:receive("*a")})
      assert.same({nil, "truncated"}, {near:recv(1)})
      near:close()
    end)

    it("by close tells the peer", function()
      local near, far = pair()
      far:close()
      assert.same({nil, "closed"}, {near:recv(1)})
      near:close()
    end)
  end)

  describe("verification", function()
    local function refused(server, params, text)
      local l, port = listening(server)
      green.spawn(function()
        local conn = l:accept()
        if conn then conn:handshake() conn:close() end
      end)
      local conn, err = client(port, params)
      l:close()
      assert.is_nil(conn)
      assert.truthy(err:find(text, 1, true), err)
    end

    it("refuses an expired certificate", function()
      refused(certs.of "expired", nil,
        "certificate has expired (127.0.0.1)")
    end)

    it("refuses another name, and says which was expected", function()
      refused(nil, {servername = "other.example"},
        "hostname mismatch (other.example)")
    end)

    it("refuses an address that the certificate does not have", function()
      refused(certs.of "second", nil, "IP address mismatch (127.0.0.1)")
    end)

    it("refuses a certificate that signs itself", function()
      refused({certificate = certs.otherca,
               key = certs.path "otherca-key"}, nil,
        "self-signed certificate (127.0.0.1)")
    end)

    it("refuses an authority that it does not know", function()
      refused(certs.of "stranger", nil,
        "unable to get local issuer certificate (127.0.0.1)")
    end)

    it("is on by default, with the system's authorities", function()
      local l, port = listening()
      green.spawn(function()
        local conn = l:accept()
        conn:handshake()
        conn:close()
      end)
      local conn, err = green.connect(HOST, port, {tls = true})
      assert.is_nil(conn)
      assert.truthy(err:find("certificate verify failed", 1, true), err)
      l:close()
    end)

    it("accepts the names of the certificate", function()
      for _, name in ipairs {"localhost", "server.example", HOST} do
        local near, far, err = pair(nil, {servername = name})
        assert.truthy(near, err)
        assert.truthy(near:tls().trusted)
        near:close()
        far:close()
      end
    end)

    it("is turned off by words alone", function()
      local near, far, err = pair(certs.of "expired", {verify = "none"})
      assert.truthy(near, err)
      near:close()
      far:close()
      near, far, err = pair(nil, {hostname = false, servername = "x.example"})
      assert.truthy(near, err)
      near:close()
      far:close()
    end)

    it("needs a name, unless told that there is none", function()
      local near, far = plain()
      assert.error_matches(function()
        green.wrap_ssl(near, {cafile = certs.ca})
      end, "needs 'servername'")
      near:close()
      far:close()
    end)

    it("of clients, by a server that asks for it", function()
      local server = certs.of("server", {cafile = certs.ca,
        verify = {"peer", "fail_if_no_peer_cert"}})
      local near, far, err = pair(server, certs.of "client")
      assert.truthy(near, err)
      assert.equal("CN=client", far:tls().peer.subject)
      near:close()
      far:close()
      near, far, err = select(1, pair(server))
      assert.is_nil(far)
      if near then
        -- In TLS 1.3 the client hears of it when it first reads.
        err = select(2, near:recv(1))
        near:close()
      end
      assert.truthy(err:find "certificate required" or err:find "reset", err)
    end)
  end)

  describe("a handshake", function()
    it("has a limit on servers, and fails by itself", function()
      local l, port = listening(certs.of("server", {handshake = 0.05}))
      local mute = assert(green.connect(HOST, port))
      local conn = assert(l:accept())
      assert.same({nil, "handshake timed out"}, {conn:handshake()})
      assert.same({nil, "handshake timed out"}, {conn:recv(1)})
      conn:close()
      mute:close()
      l:close()
    end)

    it("keeps the limit of the call, and may go on later", function()
      local l, port = listening()
      local raw = assert(green.connect(HOST, port))
      local conn = assert(l:accept())
      conn:settimeout(0.01)
      assert.same({nil, "timeout", ""}, {conn:receive()})
      assert.same({nil, "timeout", 0}, {conn:send("x")})
      conn:settimeout()
      local t = green.spawn(function() return conn:receive() end)
      assert(green.wrap_ssl(raw, {cafile = certs.ca, servername = HOST}))
      raw:send("late\n")
      assert.equal("late", t:wait())
      raw:close()
      conn:close()
      l:close()
    end)

    it("does not hold up accept", function()
      local l, port, server = echo()
      local mute = {}
      for i = 1, 20 do mute[i] = assert(green.connect(HOST, port)) end
      local conn = assert(client(port))
      conn:send("x")
      assert.equal("x", conn:recv(1))
      conn:close()
      for _, c in ipairs(mute) do c:close() end
      l:close()
      server:wait()
    end)

    it("with what speaks no TLS fails", function()
      local l, port = listening()
      local raw = assert(green.connect(HOST, port))
      raw:send("GET / HTTP/1.0\r\n\r\n")
      local conn = assert(l:accept())
      assert.same({nil, "http request"}, {conn:handshake()})
      conn:close()
      raw:close()
      l:close()
    end)

    it("that a peer breaks off says so", function()
      local l, port = listening()
      local raw = assert(green.connect(HOST, port))
      local conn = assert(l:accept())
      raw:close()
      assert.same({nil, "closed during the handshake"}, {conn:handshake()})
      conn:close()
      l:close()
    end)

    it("that is reset says so in the network's words", function()
      local l, port = listening()
      local raw = assert(green.connect(HOST, port))
      local conn = assert(l:accept())
      raw:abort()
      assert.same({nil, "connection reset by peer"}, {conn:handshake()})
      assert.same({nil, "connection reset by peer"}, {conn:recv(1)})
      conn:close()
      l:close()
    end)

    it("begins with what was received before it, and only that", function()
      local near, far = plain()
      near:send("STARTTLS\nRSET\n")
      assert.equal("STARTTLS", far:receive())
      local t = green.spawn(green.wrap_ssl, far,
        certs.of("server", {mode = "server"}))
      local ok = green.wrap_ssl(near, {verify = "none"})
      assert.is_nil(ok)
      assert.is_nil((t:wait()))
    end)
  end)

  describe("parameters", function()
    it("that are wrong are told, and no key is", function()
      local function told(params, text)
        params.mode = params.mode or "server"
        local c, err = green.tls.context(params)
        assert.is_nil(c)
        assert.truthy(err:find(text, 1, true), err)
        assert.falsy(err:find("sesame", 1, true))
      end
      told({certificate = "/nowhere.pem"},
        "error loading certificate '/nowhere.pem' (No such file")
      told({certificate = certs.path "server", key = certs.path "client-key"},
        "private key does not match")
      told({certificate = certs.path "server", key = certs.path "locked-key"},
        "error loading private key")
      told({certificate = certs.path "server", key = certs.path "locked-key",
            password = "sesame-not"}, "error loading private key")
      told({protocol = "x"}, "invalid protocol (x)")
      told({verify = "always"}, "invalid verify option (always)")
      told({options = "none_such"}, "invalid option (none_such)")
      told({ciphers = "none"}, "error setting cipher list")
      told({curve = "round"}, "unknown elliptic curve in \"round\"")
      told({alpn = {}}, "invalid ALPN list (empty)")
      told({mode = "x"}, "invalid mode")
      assert.error_matches(function() green.tls.context {verfy = "none"} end,
        "unknown TLS parameter 'verfy'")
      assert.error_matches(function() green.tls.context {depth = "x"} end,
        "bad TLS parameter 'depth'")
    end)

    it("may be PEM, and a password a function", function()
      local function text(name)
        local file <close> = assert(io.open(certs.path(name)))
        return file:read "a"
      end
      local near, far, err = pair({certificate = text "server",
        key = text "locked-key", password = function() return "sesame" end},
        {cafile = text "ca"})
      assert.truthy(near, err)
      near:close()
      far:close()
    end)

    it("choose protocol and cipher", function()
      local near, far = pair(nil, {protocol = "tlsv1_2",
        ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"})
      local info = far:tls()
      assert.equal("TLSv1.2", info.version)
      assert.equal("ECDHE-ECDSA-AES128-GCM-SHA256", info.cipher)
      near:send("x\n")
      assert.equal("x", far:receive())
      near:close()
      far:close()
    end)
  end)

  it("tells what it is", function()
    local near, far = pair(nil, {servername = "server.example"})
    local info = near:tls()
    assert.equal("TLSv1.3", info.version)
    assert.equal("client", info.mode)
    assert.equal("server.example", info.servername)
    assert.equal("CN=server", info.peer.subject)
    assert.equal("CN=ca", info.peer.issuer)
    assert.same({"localhost", "server.example", HOST}, info.peer.names)
    assert.truthy(info.peer.not_before < os.time() + 60)
    assert.truthy(info.peer.not_after > os.time())
    assert.equal(64, #info.peer.fingerprint)
    assert.truthy(info.peer.pem:find("^%-%-%-%-%-BEGIN CERTIFICATE"))
    assert.equal("server.example", far:tls().servername)
    near:close()
    assert.is_nil(near:tls())
    far:close()
    local bare, other = plain()
    assert.is_nil(bare:tls())
    bare:close()
    other:close()
  end)

  it("agrees on a protocol by ALPN", function()
    local server = certs.of("server", {alpn = {"h2", "http/1.1"}})
    local near, far = pair(server, {alpn = {"http/1.1", "h2"}})
    assert.equal("h2", near:tls().alpn)
    assert.equal("h2", far:tls().alpn)
    near:close()
    far:close()
    local err, far_err
    near, far, err, far_err = pair(server, {alpn = "smtp"})
    assert.is_nil(near)
    assert.is_nil(far)
    assert.truthy(err:find("no application protocol", 1, true), err)
    assert.truthy(far_err:find "protocol", far_err)
  end)

  it("chooses the certificate by the name that is asked for", function()
    local server = certs.of("server", {sni = {
      ["*.second.example"] = certs.of "second"}, strict = true})
    server.sni["localhost"] = certs.of "server"
    local function subject(name)
      local near, far, err = pair(server, {servername = name})
      if not near then return nil, err end
      local s = near:tls().peer.subject
      near:close()
      far:close()
      return s
    end
    assert.equal("CN=second", subject "a.second.example")
    assert.equal("CN=server", subject "localhost")
    local none, err = subject "x.example"
    assert.is_nil(none)
    assert.truthy(err:find("unrecognized name", 1, true), err)
  end)

  it("resumes sessions of one context, after a reload of the server's, too",
    function()
      local l, port = listening()
      local server = green.tls.context(certs.of("server", {mode = "server"}))
      assert(green.wrap_ssl(l, server))
      local t = green.spawn(green.serve, l, function(conn)
        conn:send(tostring(conn:tls().resumed) .. "\n")
        conn:receive()
      end)
      local context = assert(green.tls.context {cafile = certs.ca})
      local function resumed()
        local conn = assert(green.connect(HOST, port, {tls = context}))
        local said = conn:receive()
        assert.equal(said, tostring(conn:tls().resumed))
        conn:send("\n")
        conn:close()
        return said
      end
      assert.equal("false", resumed())
      assert.equal("true", resumed())
      assert(server:reload())
      assert.equal("true", resumed())
      l:close()
      t:wait()
    end)

  describe("with the openssl command", function()
    --- Feeds s_client a line, and ends its input when it has said the text:
    --- then s_client ends.
    local function feeding(line, text)
      return ("(echo %s; until grep -q '%s' script.said; do sleep 0.02; done) "
        .. "| openssl s_client "):format(line, text)
    end

    it("serves s_client", function()
      local l, port, t = echo()
      local said = run(feeding("hello", "hello")
        .. "-connect %s:%d -CAfile ca.pem -verify_return_error "
        .. "-verify_hostname localhost -servername localhost", HOST, port)
      assert.truthy(said:find("hello", 1, true), said)
      l:close()
      t:wait()
    end)

    it("refuses to renegotiate", function()
      local l, port, t = echo()
      local said = run(feeding("R", "no renegotiation")
        .. "-connect %s:%d -tls1_2 -CAfile ca.pem", HOST, port)
      assert.truthy(said:find("RENEGOTIATING", 1, true), said)
      assert.truthy(said:find("no renegotiation", 1, true), said)
      l:close()
      t:wait()
    end)

    it("is a client of s_server", function()
      local port, _ <close> = help.port()
      local t = green.spawn(run, "openssl s_server -accept %s:%d -naccept 1 "
        .. "-cert server.pem -key server-key.pem -rev -quiet", HOST, port)
      local conn, err
      help.wait_until(function()
        conn, err = client(port)
        return conn or err ~= "connection refused"
      end)
      assert.truthy(conn, err)
      conn:send("stressed\n")
      assert.equal("desserts", conn:receive())
      conn:close()
      t:wait()
    end)

    it("serves curl", function()
      local l, port = listening()
      local t = green.spawn(green.serve, l, function(conn)
        for line in conn:lines() do
          if line == "" then break end
        end
        conn:send("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
      end)
      local said = run("curl -s --cacert ca.pem https://localhost:%d/ "
        .. "--connect-to localhost:%d:%s:%d", port, port, HOST, port)
      assert.equal("hello", said)
      l:close()
      t:wait()
    end)
  end)
end)
