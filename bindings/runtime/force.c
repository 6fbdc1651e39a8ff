/* force.c - a kill that is swallowed, or computed past, is forced.
 *
 * A thread whose blocking call may yield yields for good and is reset by its
 * worker, past every pcall. One with C frames in the way gets a count hook of
 * random period that raises again and again, because a fixed period resonates
 * with a loop of pcalls. A killed thread that computes is watched by a count
 * hook, which gives the others their turn and forces it after the grace. When
 * a kill is to be forced is the core's decision (green_overdue).
 *
 * Green threads only. Hooks find their state by the registry: they have no
 * upvalues.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/force.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/site.h"
#include "runtime/strike.h"

/* Instructions between two looks at a killed thread that computes. Between two
 * raises that force it are 1 to MOST_PERIOD: few enough, now and then, to hit
 * the instructions of a loop around a pcall that computes for ever. */
enum { WATCH_COUNT = 10000, MOST_PERIOD = 1000 };

/* For so long it may compute before the others get a turn. */
enum { TURN_NS = 100000000 };

static uint32_t random_period(struct lg *G) {
  G->seed ^= G->seed << 13;
  G->seed ^= G->seed >> 7;
  G->seed ^= G->seed << 17;
  return 1 + (uint32_t)(G->seed % MOST_PERIOD);
}

static void kill_hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L, struct lg *G) {
  lua_sethook(L, kill_hook, LUA_MASKCOUNT, (int)random_period(G));
}

static void raise_again(lua_State *L, struct lg *G) {
  arm(L, G);
  lg_push_killed(L, G, lg_current(G));
  lua_error(L);
}

static int may_reset(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  return !(t->user_flags & LG_RESETTING) && lg_may_yield(L, t);
}

static void kill_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  (void)ar;
  if (G && G->hub && lg_current(G) && lg_current(G)->flags & GREEN_FORCED)
    raise_again(L, G);
  lua_sethook(L, NULL, 0, 0); /* inherited by a thread that is not killed */
}

/* Past every handler. In a blocking call that may yield: does not return; else
 * arms the hook, and the caller raises. */
void lg_force(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  lua_State *own = lg_own_state(G, t);
  if (may_reset(L, G)) lua_yield(L, 0);
  if (lua_gethook(L) != kill_hook) arm(L, G); /* else its count goes on */
  if (own != L && lg_is_lua(t) && lua_gethook(own) != kill_hook) arm(own, G);
}

/* Has the running thread computed for so long, in real time, that the others
 * must have a turn? Shorter runs are never interrupted, killed or not. */
static int overruns(struct lg *G) {
  struct green_stats stats;
  uint64_t now = uv_hrtime();
  green_stats(G->hub, &stats);
  if (G->watched_switches != stats.switches) {
    G->watched_switches = stats.switches;
    G->watched_since = now;
  }
  return now - G->watched_since >= TURN_NS;
}

/* Where it must not switch, it is looked at again after a random time: a fixed
 * one may find it there every time. */
static void turn_of_killed(lua_State *L, struct lg *G, lua_Debug *ar) {
  static const struct green_wait_kind kind = {"kill watch", NULL, NULL};
  if (!overruns(G)) return;
  if (lg_in_library(L, ar) || lg_refusal(L, G) ||
      green_keep_reserve(G->hub) < 0) {
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, (int)random_period(G));
    return;
  }
  if (lua_gethookcount(L) != WATCH_COUNT)
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, WATCH_COUNT);
  green_keep_note(G->hub, L);
  green_lap_begin(G->hub, &kind);
  green_keep(G->hub);
}

/* A killed thread that computes: gives the others a turn, and is forced when
 * the grace is over. */
static void watch_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  struct green_thread *t = G && G->hub ? lg_current(G) : NULL;
  if (!t || !(t->flags & GREEN_STRUCK)) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  if (green_overdue(G->hub, t, t->user_flags & LG_RESETTING)) {
    if (may_reset(L, G)) {
      lua_yield(L, 0); /* in a hook this returns, and Lua yields then */
      return;
    }
    raise_again(L, G);
  }
  turn_of_killed(L, G, ar);
}

/* Called when a kill is about to be raised in L. */
void lg_watch_killed(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  lua_State *own = lg_own_state(G, t);
  if (!lg_is_lua(t) || lua_gethook(L) == kill_hook) return;
  if (lua_gethook(L) != watch_hook)
    lua_sethook(L, watch_hook, LUA_MASKCOUNT, WATCH_COUNT);
  if (own != L && lua_gethook(own) != watch_hook)
    lua_sethook(own, watch_hook, LUA_MASKCOUNT, WATCH_COUNT);
}

/* Its coroutine is about to be reset: handlers may compute for ever, too.
 * Those of a thread that was forced get a grace of their own. Never raises. */
void lg_watch_reset(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  if (!(t->flags & GREEN_STRUCK)) {
    lua_sethook(co, NULL, 0, 0);
    return;
  }
  if (t->flags & GREEN_FORCED || !t->deliveries)
    t->struck_ms = green_ms(G->hub);
  lua_sethook(co, watch_hook, LUA_MASKCOUNT, WATCH_COUNT);
}
