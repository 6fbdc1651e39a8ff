-- A server's name had its certificate and no other of its parameters: a context
-- that demands certificates of clients demanded none, and a session that was
-- made with another name was good for it, too.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local tls = require "spec.tls"

if not tls then
  pending "TLS needs OpenSSL and its command"
  return
end

local certs = tls.certificates
local HOST <const> = "127.0.0.1"
local DEMANDS <const> = {"peer", "fail_if_no_peer_cert"}

describe("a name of a TLS server", function()
  local function server(of_second)
    return certs.of("server", {mode = "server", sni = {
      ["*.second.example"] = certs.of("second", of_second)}})
  end

  local demanding = {verify = DEMANDS, cafile = certs.ca}

  --- What the server saw: of a connection that came about, or its error.
  local function seen(params, client)
    local near, far, err, far_err = tls.pair(params, client)
    local info = far and far:tls()
    if near then near:close() end
    if far then far:close() end
    return info, far_err or err
  end

  it("may demand certificates where others do not", function()
    local info, err = seen(server(demanding), {servername = "a.second.example"})
    assert.is_nil(info)
    assert.matches("peer did not return a certificate", err, 1, true)
    info = seen(server(demanding), certs.of("client",
      {servername = "a.second.example"}))
    assert.equal("CN=client", info.peer.subject)
    info = seen(server(demanding), {servername = "localhost"})
    assert.is_nil(info.peer)
  end)

  it("may demand none where others do", function()
    local params = server {verify = "none"}
    params.verify, params.cafile = DEMANDS, certs.ca
    assert.is_nil(seen(params, {servername = "localhost"}))
    assert.is_nil(seen(params, {servername = "a.second.example"}).peer)
  end)

  it("has its protocol, curve and options", function()
    assert.equal("TLSv1.2", seen(server {protocol = "tlsv1_2"},
      {servername = "a.second.example"}).version)
    assert.equal("TLSv1.3", seen(server {protocol = "tlsv1_2"},
      {servername = "localhost"}).version)
    assert.equal("TLSv1.2", seen(server {options = "no_tlsv1_3"},
      {servername = "a.second.example"}).version)
    local strange = {curve = "secp521r1"}
    assert.is_nil(seen(server(strange), {servername = "a.second.example",
      curve = "X25519"}))
    assert.truthy(seen(server(strange), {servername = "localhost",
      curve = "X25519"}))
    assert.truthy(seen(server(strange), {servername = "a.second.example",
      curveslist = "X25519:secp521r1"})) -- by a second hello
  end)

  --- A server that tells each client whether its session was resumed.
  local function telling(context)
    local l, port = tls.listening(context)
    local t = green.spawn(green.serve, l, function(conn)
      conn:send(tostring(conn:tls().resumed) .. "\n")
      conn:receive()
    end)
    return port, setmetatable({}, {__close = function()
      l:close()
      t:wait()
    end})
  end

  it("resumes sessions of its own, after a reload, too", function()
    local context = assert(green.tls.context(server(demanding)))
    local port, _ <close> = telling(context)
    local client = assert(green.tls.context(certs.of("client",
      {cafile = certs.ca})))
    local function resumed()
      local conn = assert(green.connect(HOST, port, {tls = {context = client,
        servername = "a.second.example"}}))
      local said = conn:receive()
      conn:send "\n"
      conn:close()
      return said
    end
    assert.equal("false", resumed())
    assert.equal("true", resumed())
    assert(context:reload())
    assert.equal("true", resumed())
  end)

  --- Two connections of s_client: the second one brings the session of the
  --- first. Between them f runs.
  local function brings(port, version, first, second, f)
    local command = "(sleep 0.3; echo) | openssl s_client -quiet "
      .. "-connect %s:%d -CAfile ca.pem -servername %s -tls%s -sess_%s session"
    local made = tls.run(command, HOST, port, first, version, "out")
    assert.matches("false\n", made, 1, true)
    if f then f() end
    return tls.run(command, HOST, port, second, version, "in")
  end

  for _, version in ipairs {"1_2", "1_3"} do
    it("takes no session of another, TLS " .. version, function()
      local former = green.on_error(function() end)
      local _ <close> = setmetatable({}, {__close = function()
        green.on_error(former)
      end})
      local port, _ <close> = telling(server(demanding))
      local said = brings(port, version, "localhost", "a.second.example")
      assert.is_nil(said:find "true\n", said)
      assert.matches("alert", said)
    end)

    it("takes none from before it demanded certificates, TLS " .. version,
      function()
        local context = assert(green.tls.context(certs.of("server",
          {mode = "server"})))
        local port, _ <close> = telling(context)
        local said = brings(port, version, "localhost", "localhost", function()
          assert(context:reload(certs.of("server", demanding)))
        end)
        assert.is_nil(said:find "true\n", said)
        assert.matches("alert", said)
      end)
  end
end)

describe("a client of TLS", function()
  it("takes a name with a dot at its end for the name", function()
    local dotted <const> = "localhost."
    for _, params in ipairs {{servername = dotted},
                             {servername = "localhost", hostname = dotted}} do
      local near, far, err = tls.pair(nil, params)
      assert.truthy(near, err)
      assert.equal("localhost", far:tls().servername)
      near:close()
      far:close()
    end
    local near, _, err = tls.pair(nil, {servername = "localhost.."})
    assert.is_nil(near)
    assert.matches("hostname mismatch", err, 1, true)
  end)
end)
