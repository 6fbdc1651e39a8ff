/* preempt.c - gives the others a turn while a thread computes.
 *
 * config.preempt tells after how much CPU time. The thread goes to the end of
 * the ready queue from a hook, so its stack is kept. It is never made to yield
 * where it could not block, nor in the library's own Lua code, which relies on
 * running undivided, nor in a call of green.atomic.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"
#include "runtime/closing.h"
#include "runtime/frames.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/site.h"

/* Reaching a frame costs its depth. A thread whose frames are not all looked at
 * counts as one in green.atomic, while there may be such a call anywhere. */
enum { MOST_FRAMES = 500 };

/* --- atomic --- */

/* __close of the object that stands in each call's frame. */
static int atomic_over(lua_State *L) {
  struct lg *G = lg_get(L);
  if (G->atomics) G->atomics--;
  return 0;
}

static int atomic_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  return lua_gettop(L) - 1;
}

/* atomic(f, ...): its frame is what protects f, wherever f is resumed. The
 * object ends the count however the call ends. A coroutine that is dropped in
 * the midst of one leaves it too high, which costs looks at the frames. */
static int l_atomic(lua_State *L) {
  struct lg *G = lg_get(L);
  if (!lua_isfunction(L, 1)) {
    if (luaL_getmetafield(L, 1, "__call") == LUA_TNIL)
      luaL_typeerror(L, 1, "function");
    lua_pop(L, 1);
  }
  luaL_checkstack(L, 2, "luagreen");
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_toclose(L, 1);
  G->atomics++;
  lua_callk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, atomic_k);
  return atomic_k(L, LUA_OK, 0);
}

/* In the coroutine that runs, or in one that has resumed it. */
static int is_atomic(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  lua_State *co;
  if (!G->atomics) return 0;
  if (lg_has_frame(L, l_atomic, MOST_FRAMES)) return 1;
  if (!lg_is_lua(t) && t != green_main(G->hub)) return 0;
  for (co = lg_own_state(G, t); co && co != L; co = lg_resumed(co, G))
    if (lg_has_frame(co, l_atomic, MOST_FRAMES)) return 1;
  return 0;
}

/* --- the turn --- */

static const struct green_wait_kind kind = {"preempted", NULL, NULL};

uint64_t lg_stretch(struct lg *G, struct green_thread *t, uint64_t ran) {
  uint64_t *before = t->kind == &kind ? green_stretch(G->hub, t) : NULL;
  return before ? *before + ran : ran;
}

/* Main may block for the first time here, and another thread may have called
 * os.exit meanwhile. */
static void take_turn(lua_State *L, struct lg *G, uint64_t ran) {
  struct green_thread *t = lg_current(G);
  int is_main = t == green_main(G->hub);
  uint64_t *stretch, all = lg_stretch(G, t, ran);
  if (is_main) lg_main_blocks(L, G);
  if (green_keep_reserve(G->hub) < 0) return;
  assert(t->state == GREEN_RUNNING && !G->refuse);
  if ((stretch = green_stretch(G->hub, t))) *stretch = all;
  green_preempt(G->hub, &kind, L);
  if (is_main && G->exiting) lg_exit(L, G);
}

/* The library's code is left soon: the hook looks at each instruction until
 * then. In all other cases the next tick tries again. */
int lg_make_yield(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  if (lg_refusal(L, G)) return 0;
  if (lg_in_library(L, ar)) return 1;
  take_turn(L, G, ran);
  return 0;
}

static int preempt(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  return is_atomic(L, G) ? 0 : lg_make_yield(L, G, ar, ran);
}

/* For the watch of a killed thread, which has the place of the hook. */
static uint64_t preempt_ns(lua_State *L, struct lg *G) {
  uint64_t ns = G->tick_ns[LG_TICK_PREEMPT];
  return ns && is_atomic(L, G) ? 0 : ns;
}

void lg_open_preempt(lua_State *L) {
  static const luaL_Reg functions[] = {{"atomic", l_atomic}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", atomic_over}, {NULL, NULL}};
  struct lg *G = lg_find(L);
  G->tick_acts[LG_TICK_PREEMPT] = preempt;
  G->preempt_ns = preempt_ns;
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lg_setfuncs(L, meta, 0);
  lua_setmetatable(L, -2);
  lg_setfuncs(L, functions, 1);
}
