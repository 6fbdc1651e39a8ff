-- A module that is loaded when it is first used was said not to exist where no
-- descriptor was free for its file, or package.path was another by then.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

describe("a module whose file cannot be opened", function()
  teardown(preload.clean)

  it("is there all the same", function()
    preload.run [[
      local green = require "green"
      local next = failing.dup(0)
      failing.close(next)
      failing.limit(next)
      assert(not io.open "/dev/null")
      for _, name in ipairs {"dns", "server", "socket", "backdoor", "dag",
        "test", "health", "metrics", "profile", "top", "trace", "sandbox",
        "monkey_patch"} do
        assert(green[name], name)
      end
      assert(require "green.dns" == green.dns)
      local got, err = green.dns.resolve "localhost"
      assert(not got and err == "too many open files", err)
      -- The late module belongs to the library: the place is the program's.
      local ok, err = pcall(green.dns.resolve, 1, 2, 3)
      assert(not ok and not err:find "dns.lua", err)
      ok, err = pcall(require, "green.no_such_module")
      assert(not ok and err:find "module 'green.no_such_module' not found")
      failing.limit(next + 30)
      assert(green.dns.resolve "localhost")
      package.path = "elsewhere/?.lua"
      local server = green.server {listen = "127.0.0.1:0", handler = print}
      assert(server:start())
      server:stop()]]
  end)

  it("has its places, and is searched for by one searcher", function()
    preload.run [[
      package.loaded.green, package.loaded["green.core"] = nil
      local green = require "green"
      local n = #package.searchers
      package.loaded.green = nil
      assert(require "green" == green and #package.searchers == n)
      package.path = "elsewhere/?.lua"
      local _, err = pcall(function()
        local f = green.server
        f {}
      end)
      assert(err:find "^[^\n]*:%d+: option 'handler' is missing", err)
      assert(not err:find("net/server", 1, true), err)
      local source = debug.getinfo(green.server, "S").source
      assert(source:find "^@.*lua/green/net/server.lua$", source)]]
  end)

  it("is said to lack a descriptor if it is TLS's library", function()
    local out = preload.run [[
      local green = require "green"
      local next = failing.dup(0)
      failing.close(next)
      failing.limit(next)
      print(pcall(function() return green.tls end))
      failing.limit(next + 30)
      print(pcall(function() return green.tls.context {} ~= nil end))]]
    if not out:find "needs OpenSSL" then
      assert.matches("false\t.-TLS cannot be loaded: too many open files", out)
      assert.matches("true\ttrue", out)
    end
  end)
end)
