/* time.c - sleeping, the clock, waiting for everybody else.
 *
 * Where Lua runs; functions that wait, in green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/refusal.h"
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

/* Any sleep. Not inlined, so that the short way saves few registers. */
static __attribute__((noinline)) int sleep_for(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_hub_hot *hot = green_hot(G->hub);
  int number;
  lua_Number s = lua_tonumberx(L, 1, &number);
  if (unlikely(!number && !lua_isnoneornil(L, 1))) luaL_checknumber(L, 1);
  if (unlikely(s != s)) luaL_argerror(L, 1, "seconds expected, got NaN");
  if (unlikely(hot->current && hot->current->pending))
    lg_interrupt(L, G, &sleep_op);
  if (!(s > 0)) return lg_lap(L, G, &sleep_op);
  return lg_wait(L, G, &sleep_op, NULL, NULL, lg_deadline(s));
}

/* sleep([s]): blocks for s seconds; nil, 0 or less: one turn for everybody
 * else. May switch. Raises on NaN. The turn has a way of its own in which
 * nothing is asked twice: 368 instructions a switch, of which Lua takes 250,
 * not 441. No array of this function needs the canary, which takes eight. */
static __attribute__((no_stack_protector)) int l_sleep(lua_State *L) {
  struct green_thread *t = lg_own_thread(L);
  int whole;
  lua_Integer s = lua_tointegerx(L, 1, &whole);
  if (unlikely(!t || !whole || s > 0 || t->pending)) return sleep_for(L);
  return lg_lap_own(L, t, &sleep_op);
}

/* turn(): as sleep(0) for a call that only takes long: where it cannot block,
 * it goes on, and nothing strikes. */
static int l_turn(lua_State *L) {
  struct lg *G = lg_get(L);
  if (lg_refusal(L, G)) return 0;
  if (!lg_may_yield(L, lg_current(G)) && green_keep_reserve(G->hub) < 0)
    return 0; /* no C stack is left */
  lua_settop(L, 0);
  return l_sleep(L);
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
                                     {"turn", l_turn},
                                     {"now", l_now},
                                     {"wait_others", l_wait_others},
                                     {NULL, NULL}};

void lg_open_time(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
