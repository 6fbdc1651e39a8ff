--- The rock: `luarocks make`, from a clean copy of the checkout into a tree of
--- its own, and a program that finds the library there and nowhere else.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

describe("the rock", function()
  local dir, tree, share, lib

  setup(function()
    dir = shell.scratch()
    tree = dir .. "/tree"
    share = tree .. "/share/lua/" .. shell.version
    lib = tree .. "/lib/lua/" .. shell.version
    shell.run("mkdir -p %s/src", dir)
    shell.run("cp -r Makefile core bindings lua bin tools *.rockspec %s/src",
              dir)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  it("is made by luarocks from the checkout, without a network", function()
    local prefix = shell.lua:match "^(.*)/bin/[^/]*$"
    shell.run("cd %s/src && HOME=%s luarocks --lua-version %s %s --tree %s "
              .. "make luagreen-scm-1.rockspec", dir, dir, shell.version,
              prefix and "--lua-dir " .. prefix or "", tree)
  end)

  local function outside(command)
    return shell.run([[cd / && LUA_PATH='%s/?.lua;%s/?/init.lua' ]]
                     .. [[LUA_CPATH='%s/?.so' %s]], share, share, lib, command)
  end

  it("is found by the stock interpreter outside the checkout", function()
    local text = outside(shell.lua .. [[ -e 'local green = require "green"
      local t = green.spawn(function() green.sleep(0.001) return "green" end)
      print(t:wait(), package.searchpath("green.core", package.cpath))']])
    assert.equal("green\t" .. lib .. "/green/core.so\n", text)
  end)

  it("brings the runner luagreen", function()
    assert.equal("42\n", shell.run("cd / && %s/bin/luagreen -e 'print(42)'",
                                   tree))
  end)
end)
