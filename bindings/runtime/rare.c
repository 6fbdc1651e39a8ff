/* rare.c - what only few threads have: a table of rare things, made when the
 * first of them comes, by the keys of RARE_KILLED and its kin. It dies with
 * the thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/rare.h"

int lg_rare(lua_State *L, struct lg *G, struct green_thread *t) {
  if (!t->user_rare) return 0;
  lg_push_anchored(L, G, t->user_rare);
  return 1;
}

void lg_make_rare(lua_State *L, struct lg *G, struct green_thread *t) {
  if (lg_rare(L, G, t)) return;
  lua_newtable(L);
  if (t->user_rare) { /* by a finalizer, just now */
    lua_pop(L, 1);
    lg_push_anchored(L, G, t->user_rare);
    return;
  }
  lua_pushvalue(L, -1);
  t->user_rare = lg_anchor(L, G);
}

/* Pushes the list `key` of the thread's rare things on G->tables, or nothing
 * (0). */
int lg_push_rare_list(struct lg *G, struct green_thread *t, int key) {
  lua_rawgeti(G->tables, 1, t->user_rare);
  if (lua_rawgeti(G->tables, -1, key) == LUA_TTABLE) {
    lua_remove(G->tables, -2);
    return 1;
  }
  lua_pop(G->tables, 2);
  return 0;
}
