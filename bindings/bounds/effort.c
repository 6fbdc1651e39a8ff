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
#include "runtime/interrupt.h"
#include "runtime/nested.h"
#include "runtime/park.h"
#include "runtime/refusal.h"

/* How long a thread may compute in one call before the others get a turn. */
enum { TURN_NS = 1000000 };

/* Where it cannot give a turn, in a finalizer or a warn function, it may look
 * at the clock so often: a second or so. */
enum { MOST_LOOKS = 20000 };

static void give_turn(lua_State *L, struct lg *G) {
  int r;
  if (lg_current(G) == green_main(G->hub)) lg_main_blocks(L, G);
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  green_keep_note(G->hub, L);
  r = green_sleep(G->hub, 0);
  if (r < 0) lg_raise_code(L, G, r, "a long call");
}

void lg_rest(struct lg_effort *e) {
  struct lg *G = e->G;
  uint64_t now;
  e->left = LG_STEPS;
  e->looks++;
  if (!G->hub || !lg_current(G) || !lg_in_box(G, lg_current(G))) return;
  now = uv_hrtime();
  if (!e->since) e->since = now;
  if (now - e->since < TURN_NS) return;
  luaL_checkstack(e->L, LUA_MINSTACK, "luagreen");
  if (!lg_refusal(e->L, G) && green_keep_reserve(G->hub) == 0)
    give_turn(e->L, G);
  else if (e->looks > MOST_LOOKS)
    luaL_error(e->L, "a call computes for too long here");
  e->since = uv_hrtime();
}

void lg_make_space(lua_State *L, size_t bytes) {
  const struct lg_budget *b = lg_budget_of(L);
  if (!b || b->memory == SIZE_MAX) return;
  if (bytes > b->memory || b->used < b->memory - bytes) return;
  if (lua_gc(L, LUA_GCCOUNT) >= 0) lua_gc(L, LUA_GCCOLLECT);
}
