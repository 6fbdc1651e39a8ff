--- README.md: its two programs are taken out of it and run.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"
local green = require "green"

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

  it("has a Lua server of 15 lines that serves", function()
    local server = block "lua"
    assert.is_true(lines(server) <= 15)
    write(dir .. "/server.lua", server)
    local pipe = io.popen(("timeout 20 %s %s/server.lua 0"):format(
      shell.lua, dir))
    local port = pipe:read("l"):match "%d+"
    local conn = assert(green.connect("127.0.0.1", port))
    conn:send("hello\n")
    assert.equal("HELLO", (conn:receive()))
    conn:send("stop\n")
    assert.is_true(pipe:close())
    conn:close()
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
