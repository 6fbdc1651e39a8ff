-- A module that is loaded at its first use, such as green.dns, was "not found"
-- when the process had no descriptor left for its file.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

describe("without a descriptor left", function()
  teardown(preload.clean)

  it("everything of the library can be used for the first time", function()
    preload.run [[
      local green = require "green"
      local next = failing.dup(0)
      failing.close(next)
      failing.limit(next)
      assert(not io.open "/dev/null")
      for _, name in ipairs {"backdoor", "dag", "dns", "health", "metrics",
                             "profile", "server", "socket", "test", "top",
                             "trace", "monkey_patch", "sandbox"} do
        assert(green[name], name)
      end
      assert(require "green.dns" == green.dns)
      local addrs, err = green.dns.resolve "localhost"
      assert(not addrs and err == "too many open files", err)
      local ok, err = pcall(function() return green.tls end)
      assert(ok or err:find "TLS cannot be loaded: too many open files"
        or not package.searchpath("green.openssl", package.cpath), err)
      -- The late module belongs to the library: the place is the program's.
      ok, err = pcall(green.dns.resolve, 1, 2, 3)
      assert(not ok and not err:find "dns.lua", err)
      ok, err = pcall(require, "green.no_such_module")
      assert(not ok and err:find "module 'green.no_such_module' not found")]]
  end)
end)
