/* tables.c - the functions of the table library, in steps that are counted.
 *
 * Lua's own would move 2^62 nils of an empty table, or compare two texts of a
 * megabyte a million times, in one call. These do what Lua's do, with the same
 * errors; only a comparison that is no order may be noticed in other cases.
 * Where Lua runs, in a function of ours; all values are on the stack of Lua, so
 * the calls may rest, and metamethods may block, anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <limits.h>

#include "bounds/effort.h"
#include "bounds/strings.h"
#include "runtime/object.h"

enum { READ = 1, WRITE = 2, LENGTH = 4 };

static int has_field(lua_State *L, const char *name) {
  int has;
  lua_pushstring(L, name);
  has = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 1);
  return has;
}

static int has_length(lua_State *L, int arg) {
  return (LG_READS_TEXTS && lua_isstring(L, arg)) || has_field(L, "__len");
}

/* A table, or what can stand for one in these ways. */
static void check_table(lua_State *L, int arg, int ways) {
  int fits;
  if (lua_istable(L, arg)) return;
  if (!lua_getmetatable(L, arg)) luaL_checktype(L, arg, LUA_TTABLE);
  fits = (!(ways & READ) || has_field(L, "__index")) &&
         (!(ways & WRITE) || has_field(L, "__newindex")) &&
         (!(ways & LENGTH) || has_length(L, arg));
  lua_pop(L, 1);
  if (!fits) luaL_checktype(L, arg, LUA_TTABLE);
}

static lua_Integer length(lua_State *L, int arg, int ways) {
  check_table(L, arg, ways | LENGTH);
  return luaL_len(L, arg);
}

/* to[j] = from[i] */
static void copy(struct lg_effort *e, int from, lua_Integer i, int to,
                 lua_Integer j) {
  lg_spend(e, 2);
  lua_geti(e->L, from, i);
  lua_seti(e->L, to, j);
}

/* --- insert, remove, move --- */

static int l_insert(lua_State *L) {
  struct lg_effort effort;
  lua_Integer end =
      (lua_Integer)((lua_Unsigned)length(L, 1, READ | WRITE) + 1);
  lua_Integer at = end, i;
  lg_effort_begin(L, &effort);
  if (lua_gettop(L) == 3) {
    at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, (lua_Unsigned)at - 1 < (lua_Unsigned)end, 2,
                  "position out of bounds");
    for (i = end; i > at; i--) copy(&effort, 1, i - 1, 1, i);
  } else if (lua_gettop(L) != 2) {
    return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, at);
  return 0;
}

static int l_remove(lua_State *L) {
  struct lg_effort effort;
  lua_Integer size = length(L, 1, READ | WRITE);
  lua_Integer at = luaL_optinteger(L, 2, size);
  lg_effort_begin(L, &effort);
  luaL_argcheck(L, at == size || (lua_Unsigned)at - 1 <= (lua_Unsigned)size, 2,
                "position out of bounds");
  lua_geti(L, 1, at);
  for (; at < size; at++) copy(&effort, 1, at + 1, 1, at);
  lua_pushnil(L);
  lua_seti(L, 1, at);
  return 1;
}

/* Are the places from `to` on behind those from `first` to `last`, or before
 * them, or in another table? Then copying forwards overwrites nothing. */
static int may_go_forwards(lua_State *L, lua_Integer first, lua_Integer last,
                           lua_Integer to, int target) {
  return to > last || to <= first ||
         (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
}

static int l_move(lua_State *L) {
  struct lg_effort effort;
  lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
  lua_Integer to = luaL_checkinteger(L, 4), n, i;
  int target = lua_isnoneornil(L, 5) ? 1 : 5;
  lg_effort_begin(L, &effort);
  check_table(L, 1, READ);
  check_table(L, target, WRITE);
  if (last >= first) {
    luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3,
                  "too many elements to move");
    n = last - first + 1;
    luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4,
                  "destination wrap around");
    if (may_go_forwards(L, first, last, to, target))
      for (i = 0; i < n; i++) copy(&effort, 1, first + i, target, to + i);
    else
      for (i = n - 1; i >= 0; i--) copy(&effort, 1, first + i, target, to + i);
  }
  lua_pushvalue(L, target);
  return 1;
}

/* --- concat --- */

static void add_field(struct lg_effort *e, luaL_Buffer *b, lua_Integer i) {
  lua_geti(e->L, 1, i);
  if (!lua_isstring(e->L, -1))
    luaL_error(e->L, "invalid value (%s) at index %I in table for 'concat'",
               luaL_typename(e->L, -1), (LUAI_UACINT)i);
  lg_spend(e, 2 + (int64_t)lua_rawlen(e->L, -1) / 16);
  luaL_addvalue(b);
}

static int l_concat(lua_State *L) {
  struct lg_effort effort;
  luaL_Buffer b;
  lua_Integer last = length(L, 1, READ), i;
  size_t between;
  const char *sep = luaL_optlstring(L, 2, "", &between);
  i = luaL_optinteger(L, 3, 1);
  last = luaL_optinteger(L, 4, last);
  lg_effort_begin(L, &effort);
  luaL_buffinit(L, &b);
  for (; i < last; i++) {
    add_field(&effort, &b, i);
    luaL_addlstring(&b, sep, between);
  }
  if (i == last) add_field(&effort, &b, i);
  luaL_pushresult(&b);
  return 1;
}

/* --- unpack --- */

static int l_unpack(lua_State *L) {
  struct lg_effort effort;
  lua_Integer first = luaL_optinteger(L, 2, 1), last;
  lua_Unsigned n;
  last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
  if (first > last) return 0;
  n = (lua_Unsigned)last - (lua_Unsigned)first;
  if (n >= INT_MAX || !lg_has_room(L, (lua_Integer)n) ||
      !lua_checkstack(L, (int)(n + 1)))
    return luaL_error(L, "too many results to unpack");
  lg_effort_begin(L, &effort);
  for (; first < last; first++) {
    lg_spend(&effort, 1);
    lua_geti(L, 1, first);
  }
  lua_geti(L, 1, last);
  return (int)(n + 1);
}

/* --- sort --- */

/* A heap sort of the kind that goes down to a leaf first and then up: about as
 * few comparisons as there can be, no recursion, no memory, and the same number
 * of steps whatever the order function says. */

static int64_t size_of(lua_State *L, int at) {
  return lua_type(L, at) == LUA_TSTRING ? (int64_t)lua_rawlen(L, at) : 0;
}

/* Is the value below the top of the stack less than that on top? Pops both. */
static int pop_less(struct lg_effort *e) {
  lua_State *L = e->L;
  int less;
  int64_t a = size_of(L, -2), b = size_of(L, -1);
  lg_spend(e, 4 + (a < b ? a : b) / 4);
  if (lua_isnil(L, 2)) {
    less = lua_compare(L, -2, -1, LUA_OPLT);
    lua_pop(L, 2);
    return less;
  }
  lua_pushvalue(L, 2);
  lua_insert(L, -3);
  lua_call(L, 2, 1);
  less = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return less;
}

static int is_less(struct lg_effort *e, lua_Integer i, lua_Integer j) {
  lua_geti(e->L, 1, i);
  lua_geti(e->L, 1, j);
  return pop_less(e);
}

/* From i down to a leaf, always to the greater of two. */
static lua_Integer leaf(struct lg_effort *e, lua_Integer i, lua_Integer n) {
  while (2 * i < n) i = 2 * i + is_less(e, 2 * i, 2 * i + 1);
  return 2 * i == n ? n : i;
}

/* The values below i are a heap: makes one of those from i on. */
static void sift(struct lg_effort *e, lua_Integer i, lua_Integer n) {
  lua_State *L = e->L;
  lua_Integer j = leaf(e, i, n);
  while (j > i && is_less(e, j, i)) j /= 2;
  if (j == i) return;
  lua_geti(L, 1, i);
  for (; j > i; j /= 2) { /* the value on top goes there, that one up */
    lua_geti(L, 1, j);
    lua_insert(L, -2);
    lua_seti(L, 1, j);
  }
  lua_seti(L, 1, i);
}

/* The first neighbours are in order now, or there is none: most functions that
 * are no order, like one that is always true, show it here. */
static void check_order(struct lg_effort *e, lua_Integer n) {
  enum { PAIRS = 8 };
  lua_Integer i;
  for (i = 1; i < n && i <= PAIRS; i++)
    if (is_less(e, i + 1, i))
      luaL_error(e->L, "invalid order function for sorting");
}

static int l_sort(lua_State *L) {
  struct lg_effort effort;
  lua_Integer n = length(L, 1, READ | WRITE), i;
  if (n <= 1) return 0;
  luaL_argcheck(L, n < INT_MAX, 1, "array too big");
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  lg_effort_begin(L, &effort);
  for (i = n / 2; i > 0; i--) sift(&effort, i, n);
  for (i = n; i > 1; i--) {
    lua_geti(L, 1, 1);
    lua_geti(L, 1, i);
    lua_seti(L, 1, 1);
    lua_seti(L, 1, i);
    sift(&effort, 1, i - 1);
  }
  check_order(&effort, n);
  return 0;
}

void lg_push_tables(lua_State *L) {
  static const luaL_Reg own[] = {{"concat", l_concat}, {"insert", l_insert},
                                 {"remove", l_remove}, {"move", l_move},
                                 {"sort", l_sort},     {"unpack", l_unpack},
                                 {NULL, NULL}};
  static const char *const same[] = {"create", "pack"};
  unsigned i;
  lua_newtable(L);
  lg_setfuncs(L, own, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "table") == LUA_TTABLE) {
    for (i = 0; i < sizeof same / sizeof *same; i++) {
      lua_getfield(L, -1, same[i]);
      lua_setfield(L, -4, same[i]);
    }
  }
  lua_pop(L, 2);
}
