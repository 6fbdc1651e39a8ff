--- README.md: runs its two programs.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local shell = require "spec.shell"

local function block(language)
  local file = assert(io.open "README.md")
  local text = file:read("a")
  file:close()
  return assert(text:match("```" .. language .. "\n(.-)```"))
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function lines(text) return select(2, text:gsub("\n", "")) end

describe("README.md", function()
  local dir
  setup(function() dir = shell.scratch() end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  it("begins with ten lines of Lua that sort words for several clients",
    function()
      local server = block "lua"
      assert.equal(10, lines(server))
      write(dir .. "/server.lua", server)
      local port, _ <close> = help.port()
      local pipe = io.popen(("timeout 60 %s %s/server.lua %d >%s/log 2>&1 & "
        .. "echo $!"):format(shell.lua, dir, port, dir))
      local pid = pipe:read("l")
      pipe:close()
      local clients = {}
      for i = 1, 2 do
        help.wait_until(function()
          clients[i] = green.connect("127.0.0.1", port)
          return clients[i]
        end)
        clients[i]:send "the quick brown fox\n"
      end
      for i = 1, 2 do
        assert.equal("brown fox quick the", (clients[i]:receive()))
        clients[i]:close()
      end
      shell.run("kill " .. pid)
    end)

  it("has a C program that embeds the library on its own loop", function()
    write(dir .. "/host.c", block "c")
    shell.run("make -s install PREFIX=%s/prefix", dir)
    shell.run("cd %s && export PKG_CONFIG_PATH=%s/prefix/lib/pkgconfig && "
              .. "cc -Wall -Werror host.c -o host "
              .. "$(pkg-config --cflags --libs luagreen-lua)", dir, dir)
    local share = dir .. "/prefix/share/lua/" .. shell.version
    local text = shell.run(
      "LD_LIBRARY_PATH=%s/prefix/lib LUA_PATH='%s/?.lua;%s/?/init.lua' "
      .. "%s/host", dir, share, share, dir)
    assert.equal("hello, host\n", text)
  end)
end)
