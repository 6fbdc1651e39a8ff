/* refusal.c - where blocking is refused.
 *
 * A call that would have to wait asks first, before it has any effect. What is
 * refused: a forked child and a foreign OS thread, a state that closes, a stack
 * on which no green thread runs, Lua's finalizers, the main Lua thread below a
 * callback, a warn function.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/refusal.h"
#include "runtime/state.h"

const char *lg_refusal(lua_State *L, struct lg *G) {
  struct green_hot *hot = green_hot(G->hub);
  const char *elsewhere = green_elsewhere(G->hub);
  if (elsewhere) return elsewhere;
  if (G->drained == 2) return "while the state closes";
  if (!hot->current)
    return "here: it would block the host's loop; spawn a thread";
  /* lua_gc() does nothing, and says so, while a finalizer runs; a closing
   * state drains in one, and there clean-up may block. */
  if (lua_gc(L, LUA_GCCOUNT) < 0 && !hot->draining)
    return "in a finalizer (__gc)";
  if (L == G->main && hot->current != green_main(G->hub))
    return "in a callback that a C library runs on the main Lua thread";
  return G->refuse;
}
