/* force.c - forces a kill that a thread swallows or ignores while it computes.
 *
 * The core decides when (green_overdue); the frames on the stacks decide how,
 * because of two rules of Lua. First, we reset a coroutine only while its hooks
 * are on, since only a hook can stop a handler that computes for ever. Second,
 * hooks stay off for good if a hook raises an error and no pcall catches it; a
 * message handler runs below the hook. So
 *
 *   1. a thread that may yield yields for good, from a hook too, and is reset;
 *   2. where C frames are in the way, the kill is raised again and again: in
 *      blocking calls, and in a hook if a pcall is there, with a random period
 *      because a fixed one resonates with a loop of pcalls;
 *   3. half a grace later it leaves its frames as they are, past code that
 *      would have put things in order, and is reset on another C stack;
 *   4. where its hooks are off, which a blocking call may change, that comes
 *      another quarter later: no handler is run then, which is reported.
 *
 * The watch is a count hook on the coroutines of a killed thread. It gives the
 * others their turn while the thread computes, forces it, and follows it into
 * the coroutines that it resumes. In the library's own code, which is left
 * soon and keeps counts that must stay whole, it waits, in single steps, for
 * LIBRARY_NS at most. It cannot reach finalizers, in which Lua turns hooks
 * off, nor a single call of a C function.
 *
 * Main and threads of C code cannot be reset: the kill is raised there whenever
 * that is safe, and the others get their turns.
 *
 * Green threads only. Hooks find their state by the registry: they have no
 * upvalues.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/force.h"

#include "runtime/frames.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/random.h"
#include "runtime/refusal.h"
#include "runtime/site.h"
#include "runtime/strike.h"

/* Instructions between two looks at a killed thread that computes. Two raises
 * that force it are 1 to MOST_PERIOD apart: few enough, now and then, to hit
 * the instructions of a loop around a pcall that computes for ever. */
enum { WATCH_COUNT = 10000, MOST_PERIOD = 1000 };

/* How long it may compute before the others get a turn, if its state has no
 * shorter slice and is not preempted; while all of them end, a part of the
 * grace, which they share.
 */
enum { TURN_NS = 100000000, TURNS = 16 };

/* How long a kill that is forced waits until the library's code is left. */
enum { LIBRARY_NS = 100000000 };

static void watch(lua_State *L, lua_Debug *ar);

static void set_watch(lua_State *L, int count) {
  lua_sethook(L, watch, LUA_MASKCOUNT | LUA_MASKCALL, count);
}

static uint32_t random_period(struct lg *G) {
  return 1 + (uint32_t)(lg_random(&G->seed) % MOST_PERIOD);
}

static int is_resetting(const struct green_thread *t) {
  return t->user_flags & LG_RESETTING;
}

/* Leaves by yielding; the worker notices that no wait was begun. */
static int may_reset(lua_State *L, const struct green_thread *t) {
  return lg_is_lua(t) && !is_resetting(t) && lg_may_yield(L, t);
}

/* Quarters of the grace since the kill; the drain of a closing hub waits for
 * 8. */
static int quarters_of_grace(struct lg *G, const struct green_thread *t,
                             unsigned quarters) {
  uint64_t quarter = green_config(G->hub)->grace / 4000000;
  return green_ms(G->hub) - t->struck_ms >= quarters * quarter;
}

/* --- leaving the frames --- */

static const struct green_wait_kind left = {"its end", NULL, NULL};
static const struct green_wait_kind left_in_hook = {"its end", NULL, NULL};

int lg_was_left(const struct green_thread *t) {
  if (t->kind == &left) return LG_LEFT;
  return t->kind == &left_in_hook ? LG_LEFT_IN_HOOK : LG_NOT_LEFT;
}

static int in_finalizer(lua_State *L, struct lg *G) {
  return lua_gc(L, LUA_GCCOUNT) < 0 && !lg_draining(G);
}

/* Between the thread's coroutine and L there may be only coroutines that Lua's
 * own functions resume: a library that calls lua_resume() keeps a record of
 * that, and a callback on the main Lua thread has main's frames below. A
 * finalizer may not be there either, since Lua's collector waits for it. */
static int may_leave(lua_State *L, struct lg *G,
                     const struct green_thread *t) {
  lua_State *co = lg_is_lua(t) ? t->user : NULL;
  while (co && co != L) co = lg_resumed(co, G);
  return co && !in_finalizer(L, G);
}

/* Returns if that is illegal or too early, or if there is no other stack. */
static void leave_frames(lua_State *L, struct lg *G, struct green_thread *t) {
  int hooks;
  assert(t == lg_current(G) && t->flags & GREEN_FORCED);
  if (!quarters_of_grace(G, t, 6) || !may_leave(L, G, t)) return;
  hooks = lg_hooks_on(t->user);
  if (!hooks && !quarters_of_grace(G, t, 7)) return;
  if (green_keep_reserve(G->hub) < 0) return;
  t->kind = hooks ? &left : &left_in_hook;
  t->on = NULL;
  green_leave_frames(G->hub);
}

void lg_force(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  assert(t->flags & GREEN_FORCED);
  if (may_reset(L, t)) lua_yield(L, 0); /* does not return */
  leave_frames(L, G, t);
}

/* --- in a hook --- */

static void raise_in_hook(lua_State *L, struct lg *G) {
  lg_push_killed(L, G, lg_current(G));
  lua_error(L);
}

/* Will the hooks of L be on again after a hook raises an error? Code that
 * resets a coroutine, or calls Lua from C, catches the error as pcall does. */
static int may_raise_in_hook(lua_State *L, struct lg *G,
                             const struct green_thread *t) {
  enum lg_catcher catcher = lg_catcher(L, G);
  if (catcher != LG_BASE_OF_STATE) return catcher == LG_PCALL;
  return lg_is_lua(t) ? is_resetting(t) && L == t->user : 1;
}

/* Returns 1 if the thread will yield when the hook returns, which must be soon;
 * 0 if that is impossible and the thread goes on. */
static int force_in_hook(lua_State *L, struct lg *G, struct green_thread *t) {
  if (may_reset(L, t)) {
    lua_yield(L, 0); /* in a hook this returns, and Lua yields then */
    return 1;
  }
  set_watch(L, (int)random_period(G));
  leave_frames(L, G, t);
  if (may_raise_in_hook(L, G, t)) raise_in_hook(L, G);
  return 0;
}

void lg_end_in_hook(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (t->flags & GREEN_FORCED) force_in_hook(L, G, t);
}

/* Past the base nobody would catch the error, so the thread ends as it would
 * then. Below a handler of the program's the watch must do it. */
static int kill_in_hook(lua_State *L, struct lg *G, struct green_thread *t) {
  int how = green_deliver(G->hub, GREEN_STRIKE_KILL, NULL);
  lg_watch_killed(L, G);
  if (how == GREEN_FORCE) return force_in_hook(L, G, t);
  if (may_raise_in_hook(L, G, t)) raise_in_hook(L, G);
  if (!may_reset(L, t) || lg_catcher(L, G) != LG_BASE_OF_STATE) return 0;
  t->flags |= GREEN_FORCED;
  lua_yield(L, 0);
  return 1;
}

int lg_strike_in_hook(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  enum green_strike strike = green_strikes(G->hub, t, &scope);
  if (strike == GREEN_STRIKE_NONE || !lua_checkstack(L, 8)) return 0;
  if (strike == GREEN_STRIKE_KILL) return kill_in_hook(L, G, t);
  if (lg_catcher(L, G) == LG_HANDLER) return 0;
  lg_push_strike(L, G, strike, scope);
  return lua_error(L);
}

/* --- the watch --- */

static void shorten(uint64_t *ns, uint64_t other) {
  if (other && other < *ns) *ns = other;
}

static uint64_t turn_ns(lua_State *L, struct lg *G) {
  uint64_t ns = TURN_NS;
  if (lg_draining(G)) shorten(&ns, green_config(G->hub)->grace / TURNS);
  shorten(&ns, G->limits.slice);
  shorten(&ns, G->box_slice);
  shorten(&ns, G->preempt_ns(L, G));
  return ns;
}

/* Has the running thread computed for so long, in real time, that the others
 * must have a turn? Shorter runs are never interrupted, killed or not. */
static int overruns(lua_State *L, struct lg *G) {
  struct green_stats stats;
  uint64_t now = uv_hrtime();
  green_stats(G->hub, &stats);
  if (G->watched_switches != stats.switches) {
    G->watched_switches = stats.switches;
    G->watched_since = now;
  }
  return now - G->watched_since >= turn_ns(L, G);
}

/* If it must not switch here, the watch looks again after a random time: a
 * fixed one may find it here every time. */
static void turn_of_killed(lua_State *L, struct lg *G, lua_Debug *ar) {
  static const struct green_wait_kind kind = {"kill watch", NULL, NULL};
  if (!overruns(L, G)) {
    if (lua_gethookcount(L) != WATCH_COUNT) set_watch(L, WATCH_COUNT);
    return;
  }
  if (lg_in_library(L, ar) || lg_refusal(L, G) ||
      green_keep_reserve(G->hub) < 0) {
    set_watch(L, (int)random_period(G));
    return;
  }
  if (lua_gethookcount(L) != WATCH_COUNT) set_watch(L, WATCH_COUNT);
  green_keep_note(G->hub, L);
  green_lap_begin(G->hub, &kind);
  green_keep(G->hub);
}

/* Is it time to force the kill? A shield may hide one that was not delivered
 * yet. */
static int is_due(struct lg *G, struct green_thread *t) {
  struct green_scope *scope;
  if (!t->deliveries && !(t->flags & GREEN_FORCED) &&
      green_strikes(G->hub, t, &scope) != GREEN_STRIKE_KILL)
    return 0;
  return green_overdue(G->hub, t, is_resetting(t));
}

/* In the library's own code, which a kill does not cut in two? Only a mistake,
 * or a list without end, keeps a thread there for long. */
static int is_left_soon(lua_State *L, struct lg *G, lua_Debug *ar) {
  uint64_t now = uv_hrtime(), switches = green_switches(G->hub);
  if (!lg_in_library(L, ar)) return 0;
  if (lua_gethookcount(L) > 1 || G->hurried_switches != switches) {
    G->hurried_switches = switches;
    G->hurried_since = now;
  }
  lg_hurry_watch(L);
  return now - G->hurried_since < LIBRARY_NS;
}

static void watch_coroutine(lua_State *co) {
  if (lua_gethook(co) != watch) set_watch(co, WATCH_COUNT);
}

/* A coroutine that was made before the kill has no hook yet. A younger one
 * has inherited it, and takes it to any thread that resumes it. */
static void watch(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  struct green_thread *t = G && G->hub ? lg_current(G) : NULL;
  if (!t || !(t->flags & GREEN_STRUCK)) {
    lua_sethook(L, NULL, 0, 0);
  } else if (ar->event != LUA_HOOKCOUNT) {
    lua_State *co = lg_called(L, G, ar);
    if (co) watch_coroutine(co);
  } else if (!is_due(G, t)) {
    turn_of_killed(L, G, ar);
  } else if (!is_left_soon(L, G, ar) && !force_in_hook(L, G, t)) {
    turn_of_killed(L, G, ar);
  }
}

/* Follows the thread down, from one coroutine to the next that it resumes. */
static void watch_chain(lua_State *co, struct lg *G) {
  for (; co; co = lg_resumed(co, G)) watch_coroutine(co);
}

void lg_watch_thread(struct lg *G, struct green_thread *t) {
  if (lg_is_lua(t) || t == green_main(G->hub))
    watch_chain(lg_own_state(G, t), G);
}

/* Asking whether hooks are on restarts the count of instructions. The random
 * period keeps a thread that is struck again and again from escaping the watch
 * by that. */
void lg_watch_killed(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  int dies = L == t->user && !in_finalizer(L, G) && !lg_hooks_on(L) &&
             lg_catcher(L, G) == LG_BASE_OF_STATE;
  /* Below a hook of the program's: its hooks stay off. */
  G->lost_hooks = dies ? t : NULL;
  lg_watch_thread(G, t);
  set_watch(L, (int)random_period(G));
}

/* Somebody else's hook stays until the kill is delivered; that of a tick fires
 * once, and there will be another one. */
void lg_killed(struct green_hub *hub, struct green_thread *t) {
  lua_Hook hook = lg_is_lua(t) ? lua_gethook(t->user) : NULL;
  (void)hub;
  if (lg_is_lua(t) &&
      (!hook || hook == lg_of(t)->tick || hook == lg_of(t)->burn))
    lg_watch_thread(lg_of(t), t);
}

void lg_watch_reset(struct lg *G, lua_State *co) {
  struct green_thread *t = lg_current(G);
  if (t->flags & GREEN_STRUCK)
    set_watch(co, WATCH_COUNT);
  else if (lua_gethook(co) != G->burn) /* its handlers take fuel, too */
    lua_sethook(co, NULL, 0, 0);
}

int lg_is_watched(lua_State *L) {
  return lua_gethook(L) == watch;
}

/* Setting a hook visits each frame. Among 300,000 that takes longer than a tick
 * is apart, so to set it at each would leave no time for anything else. */
void lg_hurry_watch(lua_State *L) {
  if (lua_gethookcount(L) > 1) set_watch(L, 1);
}
