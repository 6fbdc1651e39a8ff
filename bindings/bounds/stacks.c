/* stacks.c - sums by stack, for profiles by samples.
 *
 * The sums lie in a table of Lua's: samples are taken in a hook, where
 * allocating is legal, and errors about memory are caught.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/stacks.h"

#include "runtime/object.h"
#include "thread/fold.h"

void lg_stacks_begin(lua_State *L, const void *key) {
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* "name;file:line f;...": from the thread's coroutine to the one that runs. */
static size_t put_stack(lua_State *L, struct lg *G, int by_thread,
                        char *text) {
  struct green_thread *t = lg_current(G);
  lua_State *own =
      lg_is_lua(t) || t == green_main(G->hub) ? lg_own_state(G, t) : L;
  size_t at = lg_fold_name(G, t, by_thread, text);
  text[at++] = ';';
  return at + lg_fold_all(G, own, L, text + at, 2 * LG_FOLD_SIZE);
}

/* (text, its length, key, n): sums[text] = sums[text] + n. The string is made
 * where an error is caught. */
static int add(lua_State *L) {
  const char *text = lua_touserdata(L, 1);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, lua_touserdata(L, 3)) != LUA_TTABLE)
    return 0;
  lua_pushlstring(L, text, (size_t)lua_tointeger(L, 2));
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  lua_pushinteger(L, lua_tointeger(L, -1) + lua_tointeger(L, 4));
  lua_remove(L, -2);
  lua_rawset(L, -3);
  return 0;
}

void lg_stacks_add(lua_State *L, struct lg *G, const void *key, int by_thread,
                   uint64_t n) {
  char text[LG_FOLD_NAME + 2 * LG_FOLD_SIZE + 8];
  if (!lua_checkstack(L, 10)) return;
  lua_pushcfunction(L, add);
  lua_pushlightuserdata(L, text);
  lua_pushinteger(L, (lua_Integer)put_stack(L, G, by_thread, text));
  lua_pushlightuserdata(L, (void *)key);
  lua_pushinteger(L, (lua_Integer)n);
  if (lua_pcall(L, 4, 0, 0) != LUA_OK) lua_pop(L, 1);
}

void lg_stacks_end(lua_State *L, const void *key, const char *rest,
                   uint64_t more) {
  lua_Integer n = 0;
  int to, from;
  luaL_checkstack(L, 6, "luagreen");
  lua_newtable(L);
  to = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) != LUA_TTABLE) lua_newtable(L);
  from = lua_gettop(L);
  lua_pushnil(L); /* no sample may come into the table while it is read */
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, to, ++n);
    lua_rawseti(L, to, ++n);
  }
  if (more) {
    lua_pushstring(L, rest);
    lua_rawseti(L, to, ++n);
    lua_pushinteger(L, (lua_Integer)more);
    lua_rawseti(L, to, ++n);
  }
  lua_settop(L, to);
}
