/* turns.c - coroutines that give the others a turn while they compute.
 *
 * A count hook goes round once; the stack is kept below a hook. Where Lua
 * runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/force.h"
#include "runtime/object.h"
#include "runtime/refusal.h"
#include "runtime/runtime.h"
#include "runtime/site.h"

/* Instructions between two turns. */
enum { TURN_COUNT = 100000 };

static void turn_hook(lua_State *L, lua_Debug *ar);

static void set_turn(lua_State *L, int count) {
  lua_sethook(L, turn_hook, LUA_MASKCOUNT, count);
}

/* A computing coroutine gives the others a turn, and the strikes of its thread
 * are raised here. The library's own code relies on running undivided, so the
 * hook waits until it has left that code, in single steps, because a fixed
 * period could find it there every time. */
static void turn_hook(lua_State *L, lua_Debug *ar) {
  static const struct green_wait_kind kind = {"turn", NULL, NULL};
  struct lg *G = lg_find(L);
  if (!G || !G->hub || lg_refusal(L, G) || green_keep_reserve(G->hub) < 0)
    return;
  if (lg_in_library(L, ar)) {
    set_turn(L, 1);
    return;
  }
  set_turn(L, TURN_COUNT);
  if (lg_strike_in_hook(L, G)) return;
  green_keep_note(G->hub, L);
  green_lap_begin(G->hub, &kind);
  green_keep(G->hub);
}

/* take_turns(): from now on the calling coroutine, and those that it makes,
 * give the others a turn now and then while they compute. For commands of a
 * prompt, which the user must be able to stop. */
static int l_take_turns(lua_State *L) {
  set_turn(L, TURN_COUNT);
  return 0;
}

void lg_open_turns(lua_State *L) {
  static const luaL_Reg functions[] = {{"take_turns", l_take_turns},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
