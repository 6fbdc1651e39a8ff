/* effort.c - C functions that compute for long, in steps that are counted.
 *
 * Nothing of Lua's reaches into a call of a C function: no hook, no limit, no
 * kill. So the functions of a sandbox that could compute for long count their
 * steps, and rest now and then. A rest keeps the C stack, so that it is legal
 * below any frames.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/effort.h"

#include "bounds/box.h"
#include "bounds/memory.h"
#include "bounds/ticks.h"
#include "runtime/force.h"
#include "runtime/nested.h"
#include "runtime/refusal.h"
#include "runtime/strike.h"

/* How long a thread may compute in one call before the others get a turn. */
enum { TURN_NS = 1000000 };

/* How long it may where it cannot give a turn: in a finalizer, say. */
enum { MOST_NS = 1000000000 };

/* Two looks at the clock are to be so far apart. Steps cost what the script
 * likes: an index may go through 2,000 tables. */
enum { SOON_NS = 25000, LATE_NS = 100000 };

void lg_raise_strike(struct lg_effort *e) {
  lua_State *L = e->L;
  struct lg *G = e->G;
  struct green_scope *scope;
  enum green_strike strike = green_strikes(G->hub, lg_current(G), &scope);
  if (strike == GREEN_STRIKE_NONE) return;
  if (e->stays) {
    e->struck = 1;
    return;
  }
  if (green_deliver(G->hub, strike, scope) == GREEN_FORCE) lg_force(L, G);
  if (strike == GREEN_STRIKE_KILL) lg_watch_killed(L, G);
  lg_push_strike(L, G, strike, scope);
  lua_error(L);
}

/* As a tick does between two instructions of Lua: the end of a stretch or of a
 * life, a turn, and what has struck meanwhile. 0: it must not switch here. */
static int rest(struct lg_effort *e, uint64_t ran) {
  lua_State *L = e->L;
  struct lg *G = e->G;
  lua_Debug ar;
  luaL_checkstack(L, LUA_MINSTACK, "luagreen");
  if (!lua_getstack(L, 0, &ar)) return 0;
  if (lg_has_terms(G)) G->tick_acts[LG_TICK_END](L, G, &ar, ran);
  lg_raise_strike(e);
  if (lg_refusal(L, G)) return 0;
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  lg_make_yield(L, G, &ar, ran);
  lg_raise_strike(e);
  return 1;
}

static void adapt(struct lg_effort *e, uint64_t took) {
  if (took > LATE_NS)
    e->stride = e->stride * SOON_NS / (int64_t)took;
  else if (took < SOON_NS && e->stride < LG_STEPS)
    e->stride *= 4;
  if (e->stride < 1) e->stride = 1;
}

void lg_rest(struct lg_effort *e) {
  struct lg *G = e->G;
  uint64_t now;
  e->left = LG_STEPS;
  if (!G || !G->hub || !lg_current(G) || !lg_in_box(G, lg_current(G))) return;
  now = uv_hrtime();
  if (!e->since) e->since = e->looked = now;
  adapt(e, now - e->looked);
  if (now - e->since >= TURN_NS) {
    if (rest(e, now - e->since)) /* the others had a turn: time begins anew */
      now = e->since = uv_hrtime();
    else if (now - e->since > MOST_NS)
      luaL_error(e->L, "a call computes for too long here");
  }
  e->looked = now;
  e->left = e->stride;
}

void lg_make_space(lua_State *L, size_t bytes) {
  const struct lg_budget *b = lg_budget_of(L);
  if (!b || b->memory == SIZE_MAX) return;
  if (bytes > b->memory || b->used < b->memory - bytes) return;
  if (lua_gc(L, LUA_GCCOUNT) >= 0) lua_gc(L, LUA_GCCOLLECT);
}

int lg_has_room(lua_State *L, lua_Integer values) {
  enum { BYTES = 64 }; /* a value has 16; a stack grows by doubling */
  const struct lg_budget *b = lg_budget_of(L);
  size_t bytes = values < (1 << 24) ? (size_t)values * BYTES : SIZE_MAX / 4;
  if (values < 1000 || !b || b->memory == SIZE_MAX) return 1;
  lg_make_space(L, bytes);
  return b->used < b->memory && bytes < b->memory - b->used;
}
