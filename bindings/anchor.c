/* anchor.c - what keeps Lua objects alive for the C side.
 *
 * One array table of slots, chained through its free ones by their integers,
 * so that releasing a slot never allocates: it may be done on a worker, from
 * the `tables` state, which never runs anything. The collector visits one
 * array, not a hash.
 *
 * SPDX-License-Identifier: MIT
 */
#include "binding.h"

static void push_table(lua_State *L, struct green_lua *G) {
  luaL_checkstack(L, 3, "luagreen");
  lua_pushvalue(G->tables, 1);
  lua_xmove(G->tables, L, 1);
}

int green_lua__anchor(lua_State *L, struct green_lua *G) {
  int slot = G->free_slot;
  push_table(L, G);
  lua_insert(L, -2);
  if (slot) {
    lua_rawgeti(L, -2, slot);
    G->free_slot = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_rawseti(L, -2, slot);
  } else {
    lua_rawseti(L, -2, G->slots + 1); /* may raise: count it only then */
    slot = ++G->slots;
  }
  lua_pop(L, 1);
  return slot;
}

void green_lua__release(struct green_lua *G, int slot) {
  if (!slot) return;
  lua_pushinteger(G->tables, G->free_slot);
  lua_rawseti(G->tables, 1, slot);
  G->free_slot = slot;
}

void green_lua__push_anchored(lua_State *L, struct green_lua *G, int slot) {
  lua_rawgeti(G->tables, 1, slot);
  lua_xmove(G->tables, L, 1);
}

int green_lua__cold(lua_State *L, struct green_lua *G,
                    struct green_thread *t) {
  if (!t->user_b) return 0;
  green_lua__push_anchored(L, G, t->user_b);
  return 1;
}

void green_lua__cold_make(lua_State *L, struct green_lua *G,
                          struct green_thread *t) {
  if (green_lua__cold(L, G, t)) return;
  lua_newtable(L);
  lua_pushvalue(L, -1);
  t->user_b = green_lua__anchor(L, G);
}

int green_lua__protected(struct green_lua *G, lua_CFunction f,
                         struct green_thread *t) {
  lua_State *L = G->helper;
  int status;
  if (!lua_checkstack(L, 8)) return LUA_ERRMEM;
  lua_rawgetp(L, LUA_REGISTRYINDEX, (const void *)G); /* G itself */
  lua_pushcclosure(L, f, 0);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, t);
  status = lua_pcall(L, 2, 0, 0);
  if (status != LUA_OK) lua_pop(L, 1);
  return status;
}
