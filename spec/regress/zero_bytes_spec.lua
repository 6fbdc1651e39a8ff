-- TLS took a name up to its first zero byte for the name that a certificate
-- must have, and "" for none at all: then any certificate was good. Options of
-- multicast, paths of devices and ports of getnameinfo were cut as well.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local socket = green.socket

describe("a text with a zero byte", function()
  it("is no port and no path of a device", function()
    local host, err = green.dns.getnameinfo("127.0.0.1", "80\0")
    assert.same({nil, "service not supported for socket type"}, {host, err})
    host, err = socket.dns.getnameinfo("127.0.0.1", "80\0x")
    assert.same({nil, "service not supported for socket type"}, {host, err})
    local dev
    dev, err = socket.serial "/dev/null\0.evil"
    assert.falsy(dev)
    assert.matches("^[Nn]o such file", err)
  end)

  it("is neither a group nor an interface", function()
    local u <close> = assert(green.udp("0.0.0.0", 0))
    local function refused(name, value)
      assert.error_matches(function() u:setoption(name, value) end,
        "bad argument #2 to 'setoption'")
    end
    refused("ip-multicast-if", "127.0.0.1\0")
    refused("ip-multicast-if", "*\0")
    refused("ip-add-membership", {multiaddr = "239.1.2.3\0",
                                  interface = "127.0.0.1"})
    for _, interface in ipairs {"127.0.0.1\0", "lo\0", "*\0"} do
      refused("ip-add-membership", {multiaddr = "239.1.2.3",
                                    interface = interface})
    end
    local u6 <close> = assert(green.udp())
    assert.has_error(function()
      u6:setoption("ipv6-add-membership", {multiaddr = "ff02::1",
                                           interface = "lo\0"})
    end)
  end)

  it("is no signal", function()
    assert.has_error(function() green.config {dump_signal = "USR1\0"} end)
  end)
end)

local has_tls, tls = pcall(require, "green.tls")
local group = has_tls and describe or pending

group("a TLS parameter", function()
  local texts = {
    servername = {"good.example\0.evil.example", ""},
    hostname = {"good.example\0.evil.example", ""},
    ciphers = {"ALL\0x"}, ciphersuites = {"TLS_AES_128_GCM_SHA256\0"},
    curve = {"X25519\0"}, curveslist = {"X25519\0"}, cafile = {"x\0"},
    capath = {"/etc/ssl/certs\0x"}, certificate = {"x\0"}, key = {"x\0"},
    protocol = {"any\0"}, options = {"no_ticket\0", {"no_ticket\0"}},
    verify = {"peer\0"}, mode = {"client\0"}, dhparam = {"x\0"},
  }
  for name, values in pairs(texts) do
    it("that is not the text it seems to be is none: " .. name, function()
      for _, value in ipairs(values) do
        local ok, context = pcall(tls.context, {[name] = value})
        assert(not ok or not context, name)
      end
    end)
  end

  it("of a name is checked wherever parameters stand", function()
    for _, name in ipairs {"", "a\0b"} do
      local a <close>, b = green.socketpair()
      local _ <close> = b
      for _, field in ipairs {"hostname", "servername"} do
        local ok, err = pcall(green.wrap_ssl, a, {[field] = name})
        assert.is_false(ok)
        assert.matches("bad TLS parameter '" .. field .. "'", err)
        ok, err = pcall(green.connect, "127.0.0.1", 1,
          {tls = {[field] = name}})
        assert.is_false(ok)
        assert.matches("bad TLS parameter '" .. field .. "'", err)
      end
      assert.is_false((pcall(tls.context,
        {mode = "server", sni = {[name] = {}}})))
    end
  end)
end)
