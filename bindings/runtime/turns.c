/* turns.c - coroutines that give the others a turn while they compute.
 *
 * A count hook sleeps for no time, below the hook: the stack is kept. Where
 * Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/object.h"
#include "runtime/refusal.h"
#include "runtime/runtime.h"
#include "runtime/site.h"

/* Key in the registry: the sleep function. */
static const char SLEEP[] = "sleep";

/* Instructions between two turns. */
enum { TURN_COUNT = 100000 };

static void turn_hook(lua_State *L, lua_Debug *ar);

static void set_turn(lua_State *L, int count) {
  lua_sethook(L, turn_hook, LUA_MASKCOUNT, count);
}

/* A computing coroutine gives the others a turn, and what strikes its thread
 * is raised here. The library's own code relies on not being cut in two: it
 * is left first, step by step, as a fixed period could find it every time.
 * Called below a hook, sleep keeps the stack. */
static void turn_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub || lg_refusal(L, G) || green_keep_reserve(G->hub) < 0)
    return;
  if (lg_in_library(L, ar)) {
    set_turn(L, 1);
    return;
  }
  set_turn(L, TURN_COUNT);
  lua_rawgetp(L, LUA_REGISTRYINDEX, SLEEP);
  lua_call(L, 0, 0);
}

/* take_turns(): from now on the calling coroutine, and those that it makes,
 * give the others a turn now and then while they compute. For the commands of
 * a prompt, which one must be able to stop. */
static int l_take_turns(lua_State *L) {
  set_turn(L, TURN_COUNT);
  return 0;
}

/* On the stack: the core table, which has its sleep function. */
void lg_open_turns(lua_State *L) {
  static const luaL_Reg functions[] = {{"take_turns", l_take_turns},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "sleep");
  lua_rawsetp(L, LUA_REGISTRYINDEX, SLEEP);
}
