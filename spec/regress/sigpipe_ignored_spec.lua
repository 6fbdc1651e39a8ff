-- A program that requires LuaSocket lives on after SIGPIPE. Patched, it did
-- not: writing to a pipe whose reader had gone ended it.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a program that patches", function()
  local function run(code)
    local out = assert(io.popen(([[%s -l green.patch_all -e '%s
      os.execute "kill -PIPE $PPID"
      print "lives"' 2>&1]]):format(help.lua, code)))
    local said = out:read "a"
    out:close()
    return said
  end

  it("has SIGPIPE ignored from its require of LuaSocket on", function()
    assert.equal("lives\n", run [[require "socket"]])
    assert.equal("lives\n", run [[require "socket.core"]])
    assert.equal("", run "")
  end)

  it("keeps SIGPIPE ignored when modules of its own require it", function()
    assert.equal("lives\n", run [[
      package.preload.mine = load "return require [=[socket]=]"
      require "green".import_patched "mine"]])
  end)
end)
