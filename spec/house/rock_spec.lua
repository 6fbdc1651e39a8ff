--- The rock: `luarocks make`, from a clean copy of the checkout into a tree of
--- its own, and a program that finds the library there and nowhere else.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

describe("the rock", function()
  local dir, tree

  setup(function()
    dir = shell.scratch()
    tree = dir .. "/tree"
    shell.run("mkdir -p %s/src", dir)
    shell.run("cp -r Makefile core bindings lua bin tools *.rockspec %s/src",
              dir)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  it("is made by luarocks from the checkout, without a network", function()
    shell.run("cd %s/src && HOME=%s luarocks --lua-version 5.4 --tree %s "
              .. "make luagreen-scm-1.rockspec", dir, dir, tree)
  end)

  local function outside(command)
    return shell.run([[cd / && LUA_PATH='%s/share/lua/5.4/?.lua;]]
                     .. [[%s/share/lua/5.4/?/init.lua' ]]
                     .. [[LUA_CPATH='%s/lib/lua/5.4/?.so' %s]],
                     tree, tree, tree, command)
  end

  it("is found by a stock lua5.4 outside the checkout", function()
    local text = outside([[lua5.4 -e 'local green = require "green"
      local t = green.spawn(function() green.sleep(0.001) return "green" end)
      print(t:wait(), package.searchpath("green.core", package.cpath))']])
    assert.equal("green\t" .. tree .. "/lib/lua/5.4/green/core.so\n", text)
  end)

  it("brings the runner luagreen", function()
    assert.equal("42\n", shell.run("cd / && %s/bin/luagreen -e 'print(42)'",
                                   tree))
  end)
end)
