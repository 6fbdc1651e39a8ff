-- A core.so that was built for Lua 5.4 and is loaded by 5.5, or the reverse,
-- took other things for the registry and died of SIGSEGV, and so did a module
-- for TLS. Each entry point refuses it now, with a message; the compiler
-- refuses Lua before 5.4.4.
--
-- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local host = [[
#include <green_lua.h>
#include <lauxlib.h>
#include <stdio.h>

int main(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  if (!L || green_open(&hub, NULL) < 0) return 1;
  if (green_lua_open(L, hub) != LUA_OK) puts(lua_tostring(L, -1));
  lua_close(L);
  return green_close(hub);
}
]]

local other = shell.version == "5.4" and "5.5" or "5.4"
local refusal = ("luagreen was built for Lua %s and is loaded by Lua %s")
  :format(other, shell.version)

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

--- Copies the headers of the Lua that runs, as if they were those of another
--- release, with another registry.
local function forge_headers(dir, minor, release)
  shell.run("mkdir %s", dir)
  shell.run([[cd $(echo '#include <lua.h>' |
      cc $(tools/lua cflags %s) -M -x c - | grep -o '/[^ ]*/lua\.h' |
      xargs dirname) && cp lua.h luaconf.h lauxlib.h lualib.h %s]],
    shell.lua, dir)
  shell.run([=[cd %s && sed -E -i \
      -e 's/(LUA_VERSION_NUM[[:space:]]+)50.$/\150%d/' \
      -e 's/(LUA_VERSION_MINOR_N[[:space:]]+).$/\1%d/' \
      -e 's/(LUA_VERSION_RELEASE_N[[:space:]]+).$/\1%d/' \
      -e 's/(LUA_VERSION_RELEASE_NUM.*) . [0-9]+\)/\1 + %d)/' \
      -e 's/(LUA_RIDX_MAINTHREAD[[:space:]]+).$/\12/' \
      -e 's/(lua_newstate.*ud)[^)]*/\1%s/' \
      -e 's/(define LUA_REGISTRYINDEX).*/\1 (-2000000)/' lua.h]=],
    dir, minor, minor, release, release,
    minor == 5 and ", unsigned seed" or "")
end

describe("a library for another version of Lua", function()
  local dir

  setup(function()
    dir = shell.scratch()
    forge_headers(dir .. "/include", tonumber(other:sub(3)), 4)
    shell.run("make -s -j2 BUILD=%s/build OPT=-O0 LUA_CFLAGS=-I%s/include",
      dir, dir)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  for _, name in ipairs {"green.core", "green.openssl"} do
    it("is refused by require: " .. name, function()
      if not package.searchpath(name, dir .. "/build/?.so") then
        return pending "built without OpenSSL"
      end
      local out = shell.run([[LUA_CPATH='%s/build/?.so' LUA_PATH= %s -e \
        'print(pcall(require, "%s"))']], dir, shell.lua, name)
      assert.equal("false\t" .. refusal .. "\n", out)
    end)
  end

  it("is refused by green_lua_open", function()
    write(dir .. "/host.c", host)
    shell.run("cc -Icore -Ibindings $(tools/lua cflags %s) %s/host.c -o %s/host"
      .. " %s/build/libgreen_lua.a $(tools/lua libs %s)"
      .. " $(pkg-config --libs libuv) -lpthread", shell.lua, dir, dir, dir,
      shell.lua)
    assert.equal(refusal .. "\n", shell.run("%s/host", dir))
  end)

  it("is refused by the compiler where it would lose errors", function()
    local function compile(minor, release)
      local include = ("%s/%d.%d"):format(dir, minor, release)
      forge_headers(include, minor, release)
      return pcall(shell.run, "cc -I%s -Icore -fsyntax-only -x c "
        .. "bindings/runtime/compat.h", include)
    end
    assert.is_true(compile(4, 4))
    assert.is_true(compile(5, 0))
    local ok, text = compile(4, 3)
    assert.is_false(ok)
    assert.matches("luagreen needs Lua 5.4.4 or a later 5.4, or Lua 5.5", text,
      1, true)
    assert.is_false(compile(3, 6))
    assert.is_false(compile(6, 0))
  end)
end)
