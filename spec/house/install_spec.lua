--- `make install`: what lies where, and programs that use what was installed
--- as a user's would, by pkg-config.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local c_program = [[
#include <green.h>
#include <stdio.h>

static int work(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_sleep(hub, green_now() + 1000000);
}

int main(void) {
  struct green_hub *hub;
  struct green_thread *thread;
  int result = -1;
  if (green_open(&hub, NULL) < 0) return 1;
  if (green_spawn(hub, &thread, work, NULL) < 0) return 1;
  if (green_join(hub, thread, GREEN_FOREVER, &result) < 0) return 1;
  printf("%d\n", result);
  return green_close(hub);
}
]]

local lua_host = [[
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>

int main(void) {
  struct green_options options = {.drive = GREEN_DRIVE_LOOP};
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  options.loop = uv_default_loop();
  if (green_open(&hub, &options) < 0) return 1;
  green_lua_open(L, hub);
  if (luaL_dostring(L, "require 'green'.spawn(function()"
                       " require 'green'.sleep(0.001) print('hosted') end)"))
    return 1;
  uv_run(options.loop, UV_RUN_DEFAULT);
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

describe("make install", function()
  local dir, prefix
  local version = shell.version

  setup(function()
    dir = shell.scratch()
    prefix = dir .. "/prefix"
    shell.run("make -s install PREFIX=%s", prefix)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  local function share()
    return prefix .. "/share/lua/" .. version
  end

  it("honours DESTDIR, and installs each file that was promised", function()
    shell.run("make -s install PREFIX=/opt/green DESTDIR=%s/stage", dir)
    for _, file in ipairs{
      "include/green.h", "include/green_runtime.h",
      "include/green_lua.h", "lib/libgreen.a", "lib/libgreen.so",
      "lib/libgreen_lua.a", "lib/libgreen_lua.so",
      "lib/pkgconfig/luagreen.pc", "lib/pkgconfig/luagreen-lua.pc",
      "lib/lua/VERSION/green/core.so", "share/lua/VERSION/green/init.lua",
      "bin/luagreen", "bin/luagreenVERSION", "lib/libgreen_luaVERSION.a",
      "lib/libgreen_luaVERSION.so", "lib/pkgconfig/luagreen-luaVERSION.pc",
    } do
      shell.run("test -s %s/stage/opt/green/%s", dir,
                (file:gsub("VERSION", version)))
    end
    local text = shell.run("cat %s/stage/opt/green/lib/pkgconfig/*.pc", dir)
    assert.is_nil(text:find(dir, 1, true))
  end)

  local function build(name, source, package, more)
    write(dir .. "/" .. name .. ".c", source)
    shell.run("cd %s && export PKG_CONFIG_PATH=%s/lib/pkgconfig && "
              .. "cc -Wall -Werror %s.c -o %s $(pkg-config --cflags %s) %s",
              dir, prefix, name, name, package, more)
  end

  it("lets a C program link the shared library", function()
    build("shared", c_program, "luagreen", "$(pkg-config --libs luagreen)")
    assert.equal("0\n", shell.run("LD_LIBRARY_PATH=%s/lib %s/shared",
                                  prefix, dir))
  end)

  it("lets a C program link the static library", function()
    build("static", c_program, "luagreen", prefix
          .. "/lib/libgreen.a $(pkg-config --libs libuv) -lpthread")
    assert.equal("0\n", shell.run("%s/static", dir))
  end)

  it("lets a host with Lua inside link the binding", function()
    build("host", lua_host, "luagreen-lua",
          "$(pkg-config --libs luagreen-lua)")
    local text = shell.run(
      "LD_LIBRARY_PATH=%s/lib LUA_PATH='%s/?/init.lua;%s/?.lua' %s/host",
      prefix, share(), share(), dir)
    assert.equal("hosted\n", text)
  end)

  it("lets the stock interpreter require the module", function()
    local text = shell.run(
      "cd / && LUA_PATH='%s/?.lua;%s/?/init.lua' LUA_CPATH='%s/lib/lua/%s/?.so'"
      .. [[ %s -e 'print(require "green"._VERSION)']], share(), share(),
      prefix, version, shell.lua)
    assert.truthy(text:find("^luagreen %d"))
  end)

  it("runs luagreen by the interpreter that it was made for", function()
    local text = shell.run("cd / && unset LUA && "
      .. "%s/bin/luagreen%s -e 'print(_VERSION, green.type(1))'", prefix,
      version)
    assert.equal("Lua " .. version .. "\tnil\n", text)
    assert.matches(shell.lua, shell.run("head -n 1 %s/bin/luagreen", prefix), 1,
      true)
  end)
end)
