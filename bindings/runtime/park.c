/* park.c - how a blocking Lua function blocks.
 *
 * It tries, and where it would have to wait it registers the wait and returns
 * through lg_park(). This file holds the one decision between the two
 * ways to park: leave by lua_yieldk, which frees the C stack at once, or keep
 * the stack and switch away. Either way the wait goes on in op->woken(), with
 * the arguments of the function where they were.
 *
 * Green threads only (or the adopted main one); whoever may not block here is
 * told so before anything happens.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>

#include "runtime/binding.h"

/* What rides in the low bits of a continuation's context beside the op. */
enum { RESTART = 1, RAISE = 2, BITS = 3 };

const char *lg_refusal(lua_State *L, struct lg *G) {
  struct green_hot *hot = green_hot(G->hub);
  if (G->drained == 2) return "while the state closes";
  if (!hot->current)
    return "here: it would block the host's loop; spawn a thread";
  if (lua_gc(L, LUA_GCCOUNT) < 0 && !hot->draining)
    return "in a finalizer (__gc)";
  if (L == G->main && hot->current != green_main(G->hub))
    return "in a callback that a C library runs on the main Lua thread";
  return G->refuse;
}

static void raise_visible(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  enum green_strike strike = green_strikes(G->hub, t, &scope);
  if (strike == GREEN_STRIKE_NONE) return;
  luaL_checkstack(L, 8, "luagreen");
  if (strike == GREEN_STRIKE_KILL) lg_watch_killed(L, G);
  lg_push_strike(L, G, strike, scope);
  lua_error(L);
}

/* Main is running again: what it waited for is still in its record, and the
 * object in the arguments of the function that waits. */
static int raise_deadlock(lua_State *L, const struct green_thread *main) {
  int type = main->on ? lua_type(L, 1) : LUA_TNONE;
  luaL_checkstack(L, 6, "luagreen");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "deadlock");
  lua_pushstring(L, main->kind->name);
  lua_pushnumber(L, (lua_Number)main->since / 1e9);
  if (type == LUA_TUSERDATA || type == LUA_TTABLE)
    lua_pushvalue(L, 1);
  else
    lua_pushnil(L);
  lua_call(L, 3, 1);
  return lua_error(L);
}

static int go_on(lua_State *L, struct lg *G, const struct lg_op *op,
                 int reason) {
  if (likely(reason == GREEN_WOKEN && !G->exiting))
    return op->woken(L, G, reason);
  if (reason >= GREEN_INTERRUPT && reason != GREEN_CLOSED &&
      reason <= GREEN_EXIT && op->interrupted)
    op->interrupted(L, G);
  if (G->exiting && lg_current(G) == green_main(G->hub)) lg_exit(L, G);
  if (reason == GREEN_DEADLOCK) return raise_deadlock(L, lg_current(G));
  if (reason != GREEN_INTERRUPT) return op->woken(L, G, reason);
  lg_interrupt(L, G, op);
  return op->start(L); /* it was taken back before this thread ran */
}

/* Marks the end of the arguments of a call that starts again: what a foreign
 * resume passes comes to lie above them. */
static const char END[] = "end";

static void drop_foreign(lua_State *L) {
  int top = lua_gettop(L);
  while (lua_touserdata(L, top) != END) top--;
  lua_settop(L, top - 1);
}

/* Where a thread that left by yielding comes back; the op is what it waits
 * in. Resumed by anybody but its own worker, it yields again. */
static int park_k(lua_State *L, int status, lua_KContext ctx) {
  struct lg *G = (struct lg *)(ctx & ~(lua_KContext)BITS);
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  const struct lg_op *op;
  (void)status;
  if (unlikely(!t || t->user != L || !lg_is_lua(t)))
    return lua_yieldk(L, 0, ctx, park_k);
  op = (const struct lg_op *)t->kind;
  if (likely(!(ctx & BITS))) return go_on(L, G, op, t->reason);
  drop_foreign(L);
  if (ctx & RAISE) raise_visible(L, G);
  return op->start(L);
}

static int leave(lua_State *L, struct lg *G, int bits) {
  lg_current(G)->user_flags |= LG_PARKED;
  if (unlikely(bits)) lua_pushlightuserdata(L, (void *)(uintptr_t)END);
  return lua_yieldk(L, 0, (lua_KContext)G | bits, park_k);
}

static int stay(lua_State *L, struct lg *G) {
  int reason;
  green_keep_note(G->hub, L);
  reason = (int)green_keep(G->hub);
  return reason;
}

static inline int may_yield(lua_State *L, const struct green_thread *t) {
  return t->user == L && lg_is_lua(t) && lua_isyieldable(L);
}

/* A thread's own coroutine that may yield runs no finalizer, no warn function
 * and is not the main Lua thread: the slow questions are only for others. */
static void main_blocks(lua_State *L, struct lg *G) {
  if (G->exiting) lg_exit(L, G);
  lg_sentinel(L, G);
  lg_signal_install(G);
}

static int keep_or_raise(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_hot *hot = green_hot(G->hub);
  const char *why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", op->kind.name, why);
  if (hot->current == green_main(G->hub)) main_blocks(L, G);
  if (green_keep_reserve(G->hub) < 0)
    luaL_error(L, "'%s' cannot block here: no C stack left for it (%d kept)",
               op->kind.name, (int)hot->kept);
  return 1;
}

static inline int prepare(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_hot *hot = green_hot(G->hub);
  struct green_thread *t = hot->current;
  if (unlikely(!t || !may_yield(L, t) || G->drained == 2 || G->refuse))
    return keep_or_raise(L, G, op);
  return hot->kept < G->keep_stacks && t->flags & GREEN_SHORT &&
         green_keep_reserve(G->hub) == 0;
}

int lg_prepare(lua_State *L, struct lg *G, const struct lg_op *op) {
  return prepare(L, G, op);
}

/* Waiting for a descriptor takes long beside what a kept stack saves: at 50
 * connections keeping is no faster, at 1,000 the echo server was 15 % slower
 * by the cache lines of 1,000 stacks. */
int lg_prepare_long(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_thread *t = lg_current(G);
  if (unlikely(!t || !may_yield(L, t) || G->drained == 2 || G->refuse))
    return keep_or_raise(L, G, op);
  return 0;
}

int lg_park(lua_State *L, struct lg *G, const struct lg_op *op, int keep) {
  if (!keep) return leave(L, G, 0);
  return go_on(L, G, op, stay(L, G));
}

int lg_wait(lua_State *L, struct lg *G, const struct lg_op *op, void *on,
            struct green_list *list, uint64_t deadline) {
  int keep = lg_prepare(L, G, op);
  int r = green_wait_begin(G->hub, &op->kind, on, list, deadline);
  if (unlikely(r < 0))
    return luaL_error(L, "'%s': %s", op->kind.name, green_strerror(r));
  return lg_park(L, G, op, keep);
}

int lg_lap(lua_State *L, struct lg *G, const struct lg_op *op) {
  int reason;
  if (!prepare(L, G, op)) {
    green_lap_begin(G->hub, &op->kind);
    return leave(L, G, 0);
  }
  reason = (int)green_lap(G->hub, &op->kind, L);
  return go_on(L, G, op, reason);
}

static int lap_and_restart(lua_State *L, struct lg *G,
                           const struct lg_op *op) {
  int keep = lg_prepare(L, G, op);
  green_lap_begin(G->hub, &op->kind);
  if (!keep) return leave(L, G, RESTART);
  stay(L, G);
  return op->start(L);
}

int lg_enter_slow(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_hot *hot = green_hot(G->hub);
  if (!hot->current) return -1;
  if (hot->current == green_main(G->hub) && !lg_refusal(L, G))
    main_blocks(L, G);
  if (hot->current->pending) {
    lg_interrupt(L, G, op);
    hot->budget--; /* lg_enter() did not get so far */
  }
  if (hot->budget >= 0 || lg_refusal(L, G)) return -1;
  return lap_and_restart(L, G, op);
}

/* Once for each timeout: somebody catches it and goes on, again and again. */
enum { MOST_SWALLOWED = 1000 };

static void report_swallowed(lua_State *L, struct green_scope *scope,
                             struct lg *G) {
  luaL_checkstack(L, 6, "luagreen");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "swallowed");
  lg_push_anchored(L, G, (int)scope->user);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
}

void lg_interrupt(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  enum green_strike strike = green_strikes(G->hub, t, &scope);
  int how;
  if (strike == GREEN_STRIKE_NONE) return;
  how = green_deliver(G->hub, strike, scope);
  if (strike == GREEN_STRIKE_SCOPE && scope->deliveries == MOST_SWALLOWED)
    report_swallowed(L, scope, G);
  if (how == GREEN_FORCE) {
    lg_force(L, G);
  } else if (how == GREEN_LAP_FIRST && !lg_refusal(L, G)) {
    int keep = lg_prepare(L, G, op);
    green_lap_begin(G->hub, &op->kind);
    if (!keep) leave(L, G, RAISE);
    stay(L, G);
  }
  raise_visible(L, G);
}

int lg_is_struck(struct lg *G) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  return unlikely(t && t->pending) &&
         green_strikes(G->hub, t, &scope) != GREEN_STRIKE_NONE;
}

void lg_raise_code(lua_State *L, struct lg *G, int code, const char *what) {
  struct green_thread *t = lg_current(G);
  if (G->exiting && t == green_main(G->hub)) lg_exit(L, G);
  if (code == GREEN_EDEADLK) raise_deadlock(L, t);
  if (code == UV_EPERM) {
    const char *why = lg_refusal(L, G);
    luaL_error(L, "'%s' cannot block %s", what, why ? why : "here");
  }
  if (code == UV_UNKNOWN || code == UV_EINTR) { /* thrown */
    lg_push_thrown(L, G, code);
    lua_error(L);
  }
  if (code != UV_ECANCELED) return;
  if (t->flags & GREEN_FORCED) lg_force(L, G);
  raise_visible(L, G);
}

/* --- limits --- */

uint64_t lg_deadline(double seconds) {
  double ns = seconds * 1e9;
  if (!(seconds > 0)) return 0;
  if (ns >= 9e18) return GREEN_FOREVER; /* 285 years */
  return green_now() + (uint64_t)ns;
}

uint64_t lg_limit(lua_State *L, int index) {
  lua_Number s;
  if (lua_isnoneornil(L, index)) return GREEN_FOREVER;
  s = luaL_checknumber(L, index);
  luaL_argcheck(L, s == s, index, "seconds expected, got NaN");
  return lg_deadline(s);
}

int lg_push_timeout(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "timeout");
  return 2;
}

int lg_push_closed(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}

/* --- for C functions of users --- */

static const struct lg_op foreign_op = {
    {"C function", NULL, NULL}, NULL, NULL, NULL};

static struct lg *may_keep(lua_State *L, const char *what) {
  struct lg *G = lg_find(L);
  const char *why;
  if (!G || !G->hub) luaL_error(L, "luagreen is not open in this state");
  why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", what, why);
  if (lg_current(G) == green_main(G->hub)) main_blocks(L, G);
  green_keep_note(G->hub, L);
  return G;
}

int green_lua_wait_fd(lua_State *L, int fd, int event, double seconds) {
  struct lg *G = may_keep(L, foreign_op.kind.name);
  uint64_t deadline = seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
  int r = green_wait_fd(G->hub, fd, event, deadline);
  if (r < 0) lg_raise_code(L, G, r, foreign_op.kind.name);
  return r;
}

void green_lua_sleep(lua_State *L, double seconds) {
  struct lg *G = may_keep(L, "sleep");
  int r = green_sleep(G->hub, lg_deadline(seconds));
  if (r < 0) lg_raise_code(L, G, r, "sleep");
}
