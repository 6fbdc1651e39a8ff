--- The rocks: `luarocks make` in a clean copy of the checkout, and what
--- `make dist` packs there; a program that finds the library where they put it
--- and nowhere else. All of it without a network.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

describe("the rock", function()
  local dir, src, tree, version

  setup(function()
    dir = shell.scratch()
    src = dir .. "/src"
    shell.run("mkdir -p %s", src)
    shell.run("cp -r Makefile core bindings lua bin tools *.rockspec %s", src)
    version = shell.run("cat core/green.h"):match 'GREEN_VERSION "([%d.]+)"'
  end)
  before_each(function() tree = dir .. "/tree" end)
  after_each(function() shell.run("rm -rf %s/tree", dir) end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  local function luarocks(where, arguments)
    local prefix = shell.lua:match "^(.*)/bin/[^/]*$"
    return shell.run("cd %s && export HOME=%s http_proxy=http://127.0.0.1:1 "
      .. "https_proxy=$http_proxy MAKEFLAGS=-j2 OPT=-O0; "
      .. "luarocks --lua-version %s %s --tree %s %s CFLAGS=-O0", where, dir,
      shell.version, prefix and "--lua-dir " .. prefix or "", tree, arguments)
  end

  local function check_installed(rock_version)
    local share = tree .. "/share/lua/" .. shell.version
    local lib = tree .. "/lib/lua/" .. shell.version
    local text = shell.run([[cd / && LUA_PATH='%s/?.lua;%s/?/init.lua' ]]
      .. [[LUA_CPATH='%s/?.so' %s -e 'local green = require "green"
      local t = green.spawn(function() green.sleep(0.001) return "green" end)
      print(t:wait(), package.searchpath("green.core", package.cpath))
      print(green._VERSION)']], share, share, lib, shell.lua)
    assert.equal("green\t" .. lib .. "/green/core.so\nluagreen " .. version
                 .. "\n", text)
    assert.equal("42\n", shell.run("cd / && %s/bin/luagreen -e 'print(42)'",
                                   tree))
    assert.matches(rock_version .. "-1 (installed)",
                   luarocks("/", "list luagreen"), 1, true)
  end

  it("is made by luarocks from the checkout", function()
    luarocks(src, "make")
    check_installed "scm"
  end)

  it("has a version that follows semver, and a changelog", function()
    assert.matches("^%d+%.%d+%.%d+$", version)
    assert.matches("\n## Unreleased\n", shell.run "cat CHANGELOG.md", 1, true)
  end)

  describe("of a release", function()
    local dist, name

    setup(function()
      dist = src .. "/build/dist"
      name = dist .. "/luagreen-" .. version
      shell.run("make -s -C %s dist BUILD=build", src)
    end)

    it("is installed from FILE.src.rock", function()
      luarocks("/", "install " .. name .. "-1.src.rock")
      check_installed(version)
    end)

    it("is packed from its rockspec", function()
      luarocks(dir, "pack " .. name .. "-1.rockspec")
      luarocks(dir, "pack " .. dist .. "/luagreen-scm-1.rockspec")
    end)

    it("is installed by the checkout's rockspec once it is packed", function()
      luarocks(src, "install luagreen-scm-1.rockspec")
      check_installed "scm"
    end)

    it("is the same bytes when it is packed again", function()
      local sums = ("cd %s && sha256sum *.gz *.rock"):format(dist)
      shell.run("make -s -C %s dist BUILD=build", src)
      local first = shell.run(sums)
      shell.run("make -s -C %s dist BUILD=build", src)
      assert.equal(first, shell.run(sums))
    end)

    it("says where it is published, if that is known", function()
      local url = "https://example.invalid/luagreen.tar.gz"
      shell.run("make -s -C %s dist BUILD=build SOURCE_URL=%s", src, url)
      assert.matches(url, shell.run("cat %s-1.rockspec", name), 1, true)
    end)
  end)
end)
