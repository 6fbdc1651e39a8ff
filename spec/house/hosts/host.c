/* host.c - a host with Lua inside, for spec/house/install_spec.lua.
 *
 * SPDX-License-Identifier: MIT
 */
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
  if (green_lua_open(L, hub) != LUA_OK) return 1;
  if (luaL_dostring(L,
                    "require 'green'.spawn(function()"
                    " require 'green'.sleep(0.001) print('hosted') end)"))
    return 1;
  uv_run(options.loop, UV_RUN_DEFAULT);
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}
