/* refusal.c - refuses blocking where it is not possible.
 *
 * A call that would have to wait asks first, before it has any effect. Blocking
 * is refused in a forked child and on a foreign OS thread, in a state that
 * closes, on a stack without a green thread, in Lua's finalizers, on the main
 * Lua thread below a callback, and in a warn function.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/refusal.h"
#include "runtime/state.h"

const char *lg_refusal(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_running(G);
  const char *elsewhere = green_elsewhere(G->hub);
  if (elsewhere) return elsewhere;
  if (G->drained == 2) return "while the state closes";
  if (!t) return "here: it would block the host's loop; spawn a thread";
  if (lg_is_lua(t) && lg_of(t) != G)
    return "here: a thread of another Lua state runs this; spawn a thread";
  /* lua_gc() fails while a finalizer runs. A closing state drains in a
   * finalizer, where clean-up may still block. */
  if (lua_gc(L, LUA_GCCOUNT) < 0 && !lg_draining(G))
    return "in a finalizer (__gc)";
  if (L == G->main && t != green_main(G->hub))
    return "in a callback that a C library runs on the main Lua thread";
  return G->refuse;
}

const char *lg_strerror(struct lg *G, int code) {
  const char *elsewhere = code == UV_EPERM ? green_elsewhere(G->hub) : NULL;
  return elsewhere ? elsewhere : green_strerror(code);
}
