/* list.c - lists that programs pass.
 *
 * A table with a nil between its items has several lengths, and each version of
 * Lua finds another one: a list of two in 5.4 is empty in 5.5. So a list with a
 * hole is a mistake, which is found wherever the hole is. Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/list.h"

#include <lauxlib.h>

/* Is there an item beyond the first n? Looks at each key. */
static int has_more(lua_State *L, int index, lua_Integer n) {
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_isinteger(L, -1) && lua_tointeger(L, -1) > n) {
      lua_pop(L, 1);
      return 1;
    }
  }
  return 0;
}

/* The keys of an array come in order, before all others. So if n comes after n
 * - 1, and nothing after n, there is no other key: two steps, not one for each
 * item. */
int lg_list_ends_at(lua_State *L, int index, lua_Integer n) {
  int top = lua_gettop(L);
  if (n > 1)
    lua_pushinteger(L, n - 1);
  else
    lua_pushnil(L);
  if (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_tointeger(L, -1) == n && !lua_next(L, index)) return 1;
  }
  lua_settop(L, top);
  return !has_more(L, index, n);
}

static lua_Integer first_nil(lua_State *L, int index) {
  lua_Integer i = 1;
  while (lua_rawgeti(L, index, i) != LUA_TNIL) {
    lua_pop(L, 1);
    i++;
  }
  lua_pop(L, 1);
  return i;
}

lua_Integer lg_list_length(lua_State *L, int index, lua_Integer *hole) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, index);
  lua_Integer i = first_nil(L, index);
  *hole = i <= n || has_more(L, index, n) ? i : 0;
  return n;
}
