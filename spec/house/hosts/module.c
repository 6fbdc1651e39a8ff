/* module.c - a module in C for Lua, whose functions block, as others write them
 * for any program: for spec/house/install_spec.lua. What a host with luagreen
 * inside needs least is called: green_within() and green_poll().
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <poll.h>

int luaopen_module(lua_State *L);

static int poll_nothing(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_poll(hub, NULL, 0, GREEN_FOREVER);
}

static int nap(lua_State *L) {
  struct green_hub *hub = green_lua_hub(L);
  int r = UV_EPERM;
  if (hub) r = green_within(hub, green_in(1000000), poll_nothing, NULL);
  lua_pushstring(L, r == UV_ETIMEDOUT ? "napped" : green_strerror(r));
  return 1;
}

int luaopen_module(lua_State *L) {
  lua_pushcfunction(L, nap);
  return 1;
}
