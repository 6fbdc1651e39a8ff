/* rare.c - what only few threads have: a table of rare things, made when the
 * first of them comes, by the keys of rare.h. It is anchored in a slot of its
 * own and dies with the thread, unless a handle takes it over.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/rare.h"
#include "runtime/anchor.h"

int lg_rare(lua_State *L, struct lg *G, struct green_thread *t) {
  if (!t->user_rare) return 0;
  lg_push_anchored(L, G, t->user_rare);
  return 1;
}

void lg_new_rare(lua_State *L) {
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, RARE_OUTCOME);
}

void lg_make_rare(lua_State *L, struct lg *G, struct green_thread *t) {
  if (lg_rare(L, G, t)) return;
  lg_new_rare(L);
  if (t->user_rare) { /* by a finalizer, just now */
    lua_pop(L, 1);
    lg_push_anchored(L, G, t->user_rare);
    return;
  }
  lua_pushvalue(L, -1);
  t->user_rare = lg_anchor(L, G);
}

int lg_peek_rare(struct lg *G, struct green_thread *t, int key) {
  int type;
  if (!t->user_rare) {
    lua_pushnil(G->tables);
    return LUA_TNIL;
  }
  lua_rawgeti(G->tables, 1, t->user_rare);
  type = lua_rawgeti(G->tables, -1, key);
  lua_replace(G->tables, -2);
  return type;
}
