/* time.c - sleeping, the clock, and waiting for everybody else.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "binding.h"

static int l_sleep(lua_State *L);
static int l_wait_others(lua_State *L);

static int slept(lua_State *L, struct green_lua *G, int reason) {
  (void)L, (void)G, (void)reason;
  return 0;
}

static const struct green_lua_op sleep_op = {
    {"sleep", NULL, NULL}, l_sleep, slept, NULL};

/* sleep([s]): blocks for s seconds; nil, 0 or less: one turn for everybody
 * else. May switch. Raises on NaN. */
static int l_sleep(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  int number;
  lua_Number s = lua_tonumberx(L, 1, &number);
  struct green_hot *hot = green_hot(G->hub);
  if (unlikely(!number && !lua_isnoneornil(L, 1))) luaL_checknumber(L, 1);
  if (unlikely(s != s)) luaL_argerror(L, 1, "seconds expected, got NaN");
  if (unlikely(hot->current && hot->current->pending))
    green_lua__interrupt(L, G, &sleep_op);
  if (!(s > 0)) return green_lua__lap(L, G, &sleep_op);
  return green_lua__wait(L, G, &sleep_op, NULL, NULL,
                         green_lua__deadline(s));
}

/* now(): monotonic seconds. */
static int l_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)green_now() / 1e9);
  return 1;
}

static int others_woken(lua_State *L, struct green_lua *G, int reason) {
  (void)G;
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  return l_wait_others(L);
}

static const struct green_lua_op others_op = {
    {"wait_others", NULL, NULL}, l_wait_others, others_woken, NULL};

/* wait_others([s]): true when the caller is the only live thread. */
static int l_wait_others(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  uint64_t deadline = green_lua__limit(L, 1);
  lua_settop(L, 1);
  if (deadline > 0) {
    int r = green_lua__enter(L, G, &others_op);
    if (r >= 0) return r;
  }
  if (green_live(G->hub) <= 1) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (deadline == 0) return green_lua__push_timeout(L);
  return green_lua__wait(L, G, &others_op, NULL, green_others(G->hub),
                         deadline);
}

/* type(x): the kind of an object of the library, or nil. */
static int l_type(lua_State *L) {
  const char *name;
  luaL_checkany(L, 1);
  if (luaL_getmetafield(L, 1, "__name") == LUA_TSTRING) {
    name = lua_tostring(L, -1);
    if (!strncmp(name, "green.", 6)) {
      lua_pushstring(L, name + 6);
      return 1;
    }
    if (strchr(name, '{')) return 1; /* tcp{client} */
  }
  lua_pushnil(L);
  return 1;
}

static const luaL_Reg functions[] = {{"sleep", l_sleep},
                                     {"now", l_now},
                                     {"wait_others", l_wait_others},
                                     {"type", l_type},
                                     {NULL, NULL}};

void green_lua__open_time(lua_State *L) {
  green_lua__setfuncs(L, functions, 0);
}
