/* anchor.h - keeps Lua objects alive for the C side; protected calls.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_ANCHOR_H
#define LG_ANCHOR_H

#include "runtime/state.h"

/* The table that keeps coroutines and other things alive, by slot. lg_anchor()
 * pops a value and may raise; releasing never raises. */
int lg_anchor(lua_State *L, struct lg *G);
/* Makes sure that the next `n` calls of lg_anchor() cannot fail. May raise, but
 * runs no finalizers. */
void lg_need_slots(lua_State *L, struct lg *G, int n);
void lg_release(struct lg *G, int slot);
void lg_push_anchored(lua_State *L, struct lg *G, int slot);
/* Runs f(helper) with t as light userdata in a protected call on the helper
 * coroutine; 0, or LUA_ERR*. For workers. */
int lg_protected(struct lg *G, lua_CFunction f, void *t);

#endif
