/* either.c - functions that stand in front of the standard library's.
 *
 * either(original, decide, ours) is a function that calls ours when decide,
 * which gets the same arguments, says so. Else the original runs in this very
 * frame, as if it had been called itself: its errors name the program's line
 * and the name by which the program called it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "os/os.h"

enum { ORIGINAL = 2, DECIDE, OURS };

static int is_ours(lua_State *L, int n) {
  int yes;
  luaL_checkstack(L, n + 2, "too many arguments");
  lua_pushvalue(L, lua_upvalueindex(DECIDE));
  for (int i = 1; i <= n; i++) lua_pushvalue(L, i);
  lua_call(L, n, 1);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

/* A C function that has upvalues, or one in Lua, needs a frame of its own. */
static lua_CFunction plain_function(lua_State *L) {
  if (lua_getupvalue(L, lua_upvalueindex(ORIGINAL), 1)) {
    lua_pop(L, 1);
    return NULL;
  }
  return lua_tocfunction(L, lua_upvalueindex(ORIGINAL));
}

int lg_either(lua_State *L) {
  int n = lua_gettop(L), ours = is_ours(L, n);
  lua_CFunction f = ours ? NULL : plain_function(L);
  if (f) return f(L);
  lua_pushvalue(L, lua_upvalueindex(ours ? OURS : ORIGINAL));
  lua_insert(L, 1);
  lua_call(L, n, LUA_MULTRET);
  return lua_gettop(L);
}

static int l_either(lua_State *L) {
  for (int i = 1; i <= 3; i++) luaL_checktype(L, i, LUA_TFUNCTION);
  lua_settop(L, 3);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, lg_either, 4);
  return 1;
}

void lg_open_either(lua_State *L) {
  static const luaL_Reg functions[] = {{"either", l_either}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
