/* both.c - a program that is linked with the C library, and whose Lua loads the
 * module by itself, for spec/house/install_spec.lua. Prints "one" if the module
 * runs on the very core that this program has.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <green.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  struct green_hub *hub;
  void *module;
  luaL_openlibs(L);
  if (argc != 2 || green_open(&hub, NULL) < 0) return 1;
  green_close(hub);
  if (luaL_dostring(L, "require 'green'.sleep(0.001)")) {
    puts(lua_tostring(L, -1));
    return 1;
  }
  module = dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD);
  puts(module && dlsym(module, "green_open") == (void *)green_open ? "one"
                                                                   : "two");
  lua_close(L);
  return 0;
}
