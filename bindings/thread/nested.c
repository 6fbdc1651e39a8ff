/* nested.c - what the Lua side asks about coroutines that are no threads.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/object.h"
#include "thread/thread.h"

/* nested(): does the caller run in a coroutine of the user's? */
static int l_nested(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  lua_pushboolean(L, t && lg_own_state(G, t) != L);
  return 1;
}

void lg_open_nested(lua_State *L) {
  static const luaL_Reg functions[] = {{"nested", l_nested}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
