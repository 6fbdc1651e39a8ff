/* anchor.c - keeps Lua objects alive for the C side.
 *
 * One array table of slots, and a list of the free ones. A free slot holds
 * false, so the array keeps its shape: reusing and releasing a slot never
 * allocate, and a worker may do so through the `tables` state, which never runs
 * anything. The collector visits one array, not a hash.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "runtime/anchor.h"
#include "runtime/budget.h"

/* Adds a free slot at the end. Raises only if memory is short. */
static void add_slot(lua_State *L, struct lg *G) {
  if (G->slots == G->room) {
    int room = G->room ? G->room * 2 : 64;
    int *free_slots = realloc(G->free_slots, (size_t)room * sizeof(int));
    if (!free_slots) luaL_error(L, "not enough memory");
    G->free_slots = free_slots;
    G->room = room;
  }
  luaL_checkstack(L, 2, "luagreen");
  lua_pushvalue(G->tables, 1);
  lua_xmove(G->tables, L, 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, G->slots + 1); /* may raise: count it afterwards */
  lua_pop(L, 1);
  G->free_slots[G->free_count++] = ++G->slots;
}

void lg_need_slots(lua_State *L, struct lg *G, int n) {
  while (unlikely(G->free_count < n)) add_slot(L, G);
}

int lg_anchor(lua_State *L, struct lg *G) {
  int slot;
  lg_need_slots(L, G, 1);
  slot = G->free_slots[--G->free_count];
  lua_xmove(L, G->tables, 1);
  lua_rawseti(G->tables, 1, slot);
  return slot;
}

void lg_release(struct lg *G, int slot) {
  if (!slot) return;
  assert(slot > 0 && slot <= G->slots && G->free_count < G->slots);
  lua_pushboolean(G->tables, 0);
  lua_rawseti(G->tables, 1, slot);
  G->free_slots[G->free_count++] = slot;
}

void lg_push_anchored(lua_State *L, struct lg *G, int slot) {
  lua_rawgeti(G->tables, 1, slot);
  lua_xmove(G->tables, L, 1);
}

int lg_protected(struct lg *G, lua_CFunction f, void *t) {
  lua_State *L = G->helper;
  int status;
  lg_reserve_begin(G);
  if (!lua_checkstack(L, 8)) {
    lg_reserve_end(G);
    return LUA_ERRMEM;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, (const void *)G); /* G itself */
  lua_pushcclosure(L, f, 0);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, t);
  status = lua_pcall(L, 2, 0, 0);
  lg_reserve_end(G);
  if (status != LUA_OK) lua_pop(L, 1);
  return status;
}
