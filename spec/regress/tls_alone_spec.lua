-- A program that requires green.tls before anything else, where OpenSSL is
-- missing, was told "variable '_' got a non-closable value": the socket that
-- was to tell what lacks had no class yet.
-- SPDX-License-Identifier: MIT
local help = require "spec.help"

describe("green.tls, required first and without OpenSSL", function()
  it("names the package", function()
    local out = help.child [[
      package.preload["green.openssl"] = function() error "none" end
      print(pcall(require, "green.tls"))
    ]]
    assert.matches("^false\t.*TLS needs OpenSSL 3: install libssl3", out)
  end)
end)
