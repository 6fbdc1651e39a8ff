/* callback.c - a C function that calls back through plain lua_call, as many
 * libraries do: a thread that blocks below it must keep its C stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lua.h>

int luaopen_callback(lua_State *L);

static int call(lua_State *L) {
  char before[64], after[64];
  int i;
  for (i = 0; i < 64; i++) before[i] = after[i] = (char)i;
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  for (i = 0; i < 64; i++)
    if (before[i] != i || after[i] != i)
      return luaL_error(L, "the C frame was overwritten");
  return lua_gettop(L);
}

int luaopen_callback(lua_State *L) {
  lua_newtable(L);
  lua_pushcfunction(L, call);
  lua_setfield(L, -2, "call");
  return 1;
}
