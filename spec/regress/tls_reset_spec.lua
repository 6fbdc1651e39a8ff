-- abort, and a close that lingers for 0 s, told a TLS peer first that all had
-- been sent: a text that was broken off looked whole.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local tls = require "spec.tls"

if not tls then
  pending "TLS needs OpenSSL and its command"
  return
end

local certs = tls.certificates
local RESET <const> = "connection reset by peer"

describe("a TLS connection that is broken off", function()
  --- What the peer reads of half a text.
  local function read_after(break_off)
    local near, far = tls.pair()
    assert(near:send "half")
    assert(far:peek(4))
    break_off(near)
    local result = table.pack(far:receive "*a")
    far:close()
    return table.unpack(result, 1, result.n)
  end

  it("does not end like one that was closed: abort", function()
    assert.same({nil, RESET, "half"}, {read_after(function(conn)
      conn:abort()
    end)})
  end)

  it("nor where it lingers for 0 s", function()
    assert.same({nil, RESET, "half"}, {read_after(function(conn)
      assert(conn:setoption("linger", {on = true, timeout = 0}))
      conn:close()
    end)})
  end)

  it("ends as one that was closed where it lingers for longer, or not",
    function()
      for _, linger in ipairs {{on = true, timeout = 1},
                               {on = false, timeout = 0}} do
        assert.same({"half"}, {read_after(function(conn)
          assert(conn:setoption("linger", {on = true, timeout = 0}))
          assert(conn:setoption("linger", linger))
          conn:close()
        end)})
      end
    end)
end)

describe("a certificate's key", function()
  local function fails(key, password)
    local context, err = green.tls.context {mode = "server",
      certificate = certs.path "server", key = key, password = password}
    assert.is_nil(context)
    return err
  end

  it("is told from one with a wrong password", function()
    local err = fails(certs.path "locked-key", "wrong")
    assert.matches("error loading private key", err, 1, true)
  end)

  it("is told from one of another kind", function()
    tls.run "openssl genrsa -out rsa-key.pem 2048"
    assert.equal("private key does not match the certificate",
      fails(certs.path "rsa-key"))
    assert.equal("private key does not match the certificate",
      fails(certs.path "second-key"))
  end)
end)
