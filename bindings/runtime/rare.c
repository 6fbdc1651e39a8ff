/* rare.c - a thread's table of rare things, by the keys of rare.h. Few threads
 * have one; the first rare thing makes it.
 *
 * The table stands in one of G->tables by the thread's slot (guest.h), exactly
 * while LG_RARE is set, and dies with the thread, unless a handle takes it
 * over.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/rare.h"

#include "runtime/anchor.h"
#include "runtime/guest.h"

enum { RARES = 5 }; /* index on G->tables */

static int has(struct lg *G, const struct green_thread *t) {
  assert(!(lg_flags(G, t) & LG_RARE) || lg_slot(G, t));
  return t->user_flags & LG_RARE && lg_flags(G, t) & LG_RARE;
}

int lg_rare(lua_State *L, struct lg *G, struct green_thread *t) {
  if (!has(G, t)) return 0;
  lua_rawgeti(G->tables, RARES, lg_slot(G, t));
  lua_xmove(G->tables, L, 1);
  return 1;
}

void lg_new_rare(lua_State *L) {
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, RARE_OUTCOME);
}

void lg_put_rare(lua_State *L, struct lg *G, int slot) {
  lua_pushvalue(G->tables, RARES);
  lua_xmove(G->tables, L, 1);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot); /* may raise: on L, where that is caught */
  lua_pop(L, 1);
}

void lg_make_rare(lua_State *L, struct lg *G, struct green_thread *t) {
  uint64_t id = t->id;
  luaL_checkstack(L, 5, "luagreen");
  if (lg_rare(L, G, t)) return;
  lg_new_rare(L);
  if (t->id != id) return; /* a finalizer has ended it: of nobody */
  if (has(G, t)) {         /* or was faster */
    lua_pop(L, 1);
    lg_rare(L, G, t);
    return;
  }
  if (!lg_is_lua(t) && !lg_make_guest(L, G, t)->anchor) {
    lua_pushboolean(L, 1);
    lg_set_slot(G, t, lg_anchor(L, G));
  }
  lg_put_rare(L, G, lg_slot(G, t));
  lg_set_flag(G, t, LG_RARE);
}

int lg_peek_rare(struct lg *G, struct green_thread *t, int key) {
  int type;
  if (likely(!has(G, t))) {
    lua_pushnil(G->tables);
    return LUA_TNIL;
  }
  lua_rawgeti(G->tables, RARES, lg_slot(G, t));
  type = lua_rawgeti(G->tables, -1, key);
  lua_replace(G->tables, -2);
  return type;
}

int lg_push_rare(struct lg *G, const struct green_thread *t) {
  if (likely(!has(G, t))) return 0;
  lua_rawgeti(G->tables, RARES, lg_slot(G, t));
  return 1;
}

void lg_take_rare(struct lg *G, int slot) {
  lua_pushnil(G->tables);
  lua_rawseti(G->tables, RARES, slot);
}

void lg_drop_rare(struct lg *G, struct green_thread *t) {
  if (likely(!has(G, t))) return;
  lg_take_rare(G, lg_slot(G, t));
  lg_clear_flag(G, t, LG_RARE);
}
