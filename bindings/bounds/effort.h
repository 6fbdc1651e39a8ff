/* effort.h - C functions that compute for long, in steps that are counted.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_EFFORT_H
#define LG_EFFORT_H

#include "runtime/state.h"

/* Steps between two looks at the clock: some 50 us, if each is cheap. The first
 * look comes earlier, as they may not be. */
enum { LG_STEPS = 16384, LG_FIRST_STEPS = 256 };

struct lg_effort {
  lua_State *L;
  struct lg *G;
  int64_t left, stride;   /* steps until the next look, and between two */
  uint64_t since, looked; /* when it began, or rested; the last look */
  /* The caller has memory to free, so its frames are never left: a strike is
   * only noted. */
  int stays, struck;
};

/* The function's first upvalue is the state, as of all of ours. */
static inline void lg_effort_begin(lua_State *L, struct lg_effort *e) {
  e->L = L;
  e->G = lua_touserdata(L, lua_upvalueindex(1));
  e->left = e->stride = LG_FIRST_STEPS;
  e->since = e->looked = 0;
  e->stays = e->struck = 0;
}

/* In a thread of a sandbox: gives the others a turn when it has computed for a
 * while, which raises what strikes the thread. So it may switch and raise: the
 * caller holds nothing, and what it has of Lua's lies on the stack. Elsewhere
 * it does nothing. */
void lg_rest(struct lg_effort *e);
static inline void lg_spend(struct lg_effort *e, int64_t steps) {
  if (unlikely((e->left -= steps) < 0)) lg_rest(e);
}

/* Raises what strikes the thread; returns if nothing does. */
void lg_raise_strike(struct lg_effort *e);

/* Makes room for that many bytes, if there can be any, by a collection: Lua's
 * buffers do not collect before they fail. */
void lg_make_space(lua_State *L, size_t bytes);
/* Is there room for that many values on a stack, and once more in a table? A
 * stack that fills all memory leaves none for a hook. */
int lg_has_room(lua_State *L, lua_Integer values);

#endif
