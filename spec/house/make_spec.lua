--- `make`: what it makes again when it is asked for another way, and for which
--- Lua it builds.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

--- A compiler that is done at once: it makes empty files.
local compiler = [[
#!/bin/sh
case "$*" in *-E*|*--version*) exec cc "$@" ;; esac
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then : >"$2"; fi
  shift
done
]]

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

describe("make", function()
  local dir

  setup(function()
    dir = shell.scratch()
    write(dir .. "/cc", compiler)
    shell.run("cd %s && chmod +x cc && cp cc othercc", dir)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  local some = {"core/thread.o", "bindings/open/open.o", "green/core.so",
                "spec/timer_test", "spec/lua_embed_test"}

  --- Makes everything, and says which of these files were made.
  local function made(flags, names)
    shell.run("touch %s/mark", dir)
    shell.run("make -s BUILD=%s/build CC=%s/cc %s all c-tests", dir, dir, flags)
    local list = {}
    for _, name in ipairs(names or some) do
      local found = shell.run("find %s/build/%s -newer %s/mark", dir, name, dir)
      if found ~= "" then list[#list + 1] = name end
    end
    return table.concat(list, " ")
  end

  local all = "core/thread.o bindings/open/open.o green/core.so "
    .. "spec/timer_test spec/lua_embed_test"
  local of_lua = "bindings/open/open.o green/core.so spec/lua_embed_test"
  local links = "green/core.so spec/timer_test spec/lua_embed_test"

  it("makes nothing twice", function()
    assert.equal(all, made "")
    assert.equal("", made "")
  end)

  it("makes again what another Lua would be built into", function()
    made ""
    assert.equal(of_lua, made "LUA_CFLAGS=-I/nowhere")
    assert.equal("", made "LUA_CFLAGS=-I/nowhere")
    assert.equal(of_lua, made "")
  end)

  it("makes all of it again for another compiler, or other flags", function()
    made ""
    for _, way in ipairs {"CC=" .. dir .. "/othercc", "SAN=-g", "OPT=-O1",
                          "CFLAGS=-DX", "UV_CFLAGS=-DX", "SWITCH=ucontext",
                          [["CFLAGS=-D'F(x)=x'"]]} do
      assert.equal(all, made(way), way)
      assert.equal(all, made "", way)
    end
  end)

  it("links again with other libraries", function()
    made ""
    for _, way in ipairs {"LDFLAGS=-L.", "UV_LIBS=-lx", "LUA_LIBS=-lx",
                          "RPATH="} do
      assert.equal(links, made(way), way)
      assert.equal(links, made "", way)
    end
  end)

  it("makes TLS again for another OpenSSL, and C++ for another compiler",
    function()
      made ""
      local built = shell.run("ls %s/build/green", dir)
      local tls = built:find "openssl.so" and "green/openssl.so"
      local names = {"green/core.so", "spec/lua_cxx_test", tls or nil}
      for way, one in pairs {["SSL_CFLAGS=-DX"] = tls or "",
                             ["SSL_LIBS=-lx"] = tls or "",
                             ["CXX=" .. dir .. "/cc"] = "spec/lua_cxx_test"} do
        assert.equal(one, made(way, names), way)
        assert.equal(one, made("", names), way)
      end
    end)

  it("leaves alone what a variable has no part in", function()
    made ""
    assert.equal("", made "PREFIX=/nowhere DESTDIR=/nowhere")
  end)

  it("names the interpreter, for what runs the module", function()
    made "LUA=luaX"
    assert.equal("luaX\n", shell.run("cat %s/build/lua", dir))
    assert.matches("^export LUA='luaX'\n",
      shell.run("make -s env BUILD=%s/build LUA=luaX", dir))
  end)
end)
