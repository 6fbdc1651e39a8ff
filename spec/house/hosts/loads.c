/* loads.c - a host whose script loads the module of module.c, for
 * spec/house/install_spec.lua.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

int main(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub) != LUA_OK) return 1;
  if (luaL_dostring(L, "print(require 'module'())")) puts(lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}
