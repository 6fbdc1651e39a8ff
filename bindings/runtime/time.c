/* time.c - sleeping, the clock, waiting for everybody else.
 *
 * Where Lua runs; functions that wait, in green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/runtime.h"
#include "runtime/wait.h"

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
  struct green_hub_hot *hot = green_hot(G->hub);
  if (unlikely(!number && !lua_isnoneornil(L, 1))) luaL_checknumber(L, 1);
  if (unlikely(s != s)) luaL_argerror(L, 1, "seconds expected, got NaN");
  if (unlikely(hot->current && hot->current->pending))
    lg_interrupt(L, G, &sleep_op);
  if (!(s > 0)) return lg_lap(L, G, &sleep_op);
  return lg_wait(L, G, &sleep_op, NULL, NULL, lg_deadline(s));
}

/* now(): monotonic seconds. */
static int l_now(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  uint64_t now = likely(G->hub) ? green_time(G->hub) : green_now();
  lua_pushnumber(L, (lua_Number)now / 1e9);
  return 1;
}

static int others_woken(lua_State *L, struct lg *G, int reason) {
  (void)G;
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  return l_wait_others(L);
}

static const struct lg_op others_op = {
    {"wait_others", NULL, NULL}, l_wait_others, others_woken, NULL};

/* Threads of the state that are not the caller. If the hub is the state's own,
 * main is one. */
static uint32_t others(struct lg *G) {
  struct green_thread *t = lg_current(G), *main = green_main(G->hub);
  uint32_t n = G->family.live;
  if (t && lg_is_lua(t)) n--;
  return n + (G->own && main && t != main);
}

/* wait_others([s]): true when the caller is the only live thread of its
 * state. */
static int l_wait_others(lua_State *L) {
  struct lg *G = lg_get(L);
  uint64_t deadline = lg_limit(L, 1);
  lua_settop(L, 1);
  if (deadline > 0) {
    int r = lg_enter(L, G, &others_op);
    if (r >= 0) return r;
  }
  if (others(G) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (deadline == 0) return lg_push_timeout(L);
  return lg_wait(L, G, &others_op, NULL, green_family_others(&G->family),
                 deadline);
}

static const luaL_Reg functions[] = {{"sleep", l_sleep},
                                     {"now", l_now},
                                     {"wait_others", l_wait_others},
                                     {NULL, NULL}};

void lg_open_time(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
