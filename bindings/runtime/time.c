/* time.c - sleeping, the clock, waiting for everybody else, taking turns.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/binding.h"

static int l_sleep(lua_State *L);
static int l_wait_others(lua_State *L);

static int slept(lua_State *L, struct lg *G, int reason) {
  (void)L, (void)G, (void)reason;
  return 0;
}

static const struct lg_op sleep_op = {
    {"sleep", NULL, NULL}, l_sleep, slept, NULL};

/* sleep([s]): blocks for s seconds; nil, 0 or less: one turn for everybody
 * else. May switch. Raises on NaN. */
static int l_sleep(lua_State *L) {
  struct lg *G = lg_get(L);
  int number;
  lua_Number s = lua_tonumberx(L, 1, &number);
  struct green_hot *hot = green_hot(G->hub);
  if (unlikely(!number && !lua_isnoneornil(L, 1))) luaL_checknumber(L, 1);
  if (unlikely(s != s)) luaL_argerror(L, 1, "seconds expected, got NaN");
  if (unlikely(hot->current && hot->current->pending))
    lg_interrupt(L, G, &sleep_op);
  if (!(s > 0)) return lg_lap(L, G, &sleep_op);
  return lg_wait(L, G, &sleep_op, NULL, NULL, lg_deadline(s));
}

/* now(): monotonic seconds. */
static int l_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)green_now() / 1e9);
  return 1;
}

static int others_woken(lua_State *L, struct lg *G, int reason) {
  (void)G;
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  return l_wait_others(L);
}

static const struct lg_op others_op = {
    {"wait_others", NULL, NULL}, l_wait_others, others_woken, NULL};

/* wait_others([s]): true when the caller is the only live thread. */
static int l_wait_others(lua_State *L) {
  struct lg *G = lg_get(L);
  uint64_t deadline = lg_limit(L, 1);
  lua_settop(L, 1);
  if (deadline > 0) {
    int r = lg_enter(L, G, &others_op);
    if (r >= 0) return r;
  }
  if (green_live(G->hub) <= 1) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (deadline == 0) return lg_push_timeout(L);
  return lg_wait(L, G, &others_op, NULL, green_others(G->hub), deadline);
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

/* Keys in the registry: the sleep function, and how the sources of the
 * library's own Lua code begin. */
static const char TURN[] = "turn", OURS[] = "ours";

/* Instructions between two turns. */
enum { TURN_COUNT = 100000 };

static void turn_hook(lua_State *L, lua_Debug *ar);

static void set_turn(lua_State *L, int count) {
  lua_sethook(L, turn_hook, LUA_MASKCOUNT, count);
}

static int is_ours(lua_State *L, lua_Debug *ar) {
  size_t size;
  const char *start;
  int same;
  lua_rawgetp(L, LUA_REGISTRYINDEX, OURS);
  start = lua_tolstring(L, -1, &size);
  same = start && lua_getinfo(L, "S", ar) && !strncmp(ar->source, start, size);
  lua_pop(L, 1);
  return same;
}

/* A computing coroutine gives the others a turn, and what strikes its thread
 * is raised here. The library's own code relies on not being cut in two: it
 * is left first, step by step, as a fixed period could find it every time.
 * Called below a hook, sleep keeps the stack. */
static void turn_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub || lg_refusal(L, G) || green_keep_reserve(G->hub) < 0)
    return;
  if (is_ours(L, ar)) {
    set_turn(L, 1);
    return;
  }
  set_turn(L, TURN_COUNT);
  lua_rawgetp(L, LUA_REGISTRYINDEX, TURN);
  lua_call(L, 0, 0);
}

/* take_turns(start): from now on the calling coroutine, and those that it
 * makes, give the others a turn now and then while they compute. For the
 * commands of a prompt, which one must be able to stop. Code whose source
 * begins with `start` is the library's. */
static int l_take_turns(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, OURS);
  set_turn(L, TURN_COUNT);
  return 0;
}

static const luaL_Reg functions[] = {{"sleep", l_sleep},
                                     {"now", l_now},
                                     {"wait_others", l_wait_others},
                                     {"take_turns", l_take_turns},
                                     {"type", l_type},
                                     {NULL, NULL}};

void lg_open_time(lua_State *L) {
  lg_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "sleep");
  lua_rawsetp(L, LUA_REGISTRYINDEX, TURN);
}
