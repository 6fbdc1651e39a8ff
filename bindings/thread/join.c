/* join.c - waiting for a thread, and what it came to.
 *
 * Results stay on the coroutine of the ended thread; whoever waits copies them
 * from there when it runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/limits.h"
#include "runtime/rare.h"
#include "runtime/strike.h"
#include "thread/join.h"
#include "thread/thread.h"

/* Copies values i.. of a parked or ended coroutine. */
static int copy(lua_State *L, lua_State *from, int first) {
  int n = lua_gettop(from) - first + 1;
  if (n <= 0) return 0;
  luaL_checkstack(L, n + 2, "too many results");
  if (!lua_checkstack(from, n)) luaL_error(L, "too many results");
  for (int i = 0; i < n; i++) lua_pushvalue(from, first + i);
  lua_xmove(from, L, n);
  return n;
}

/* pcall's shape: true, results... or false, error. */
int lg_push_outcome(lua_State *L, struct lg *G, struct green_thread *t) {
  luaL_checkstack(L, 4, "luagreen");
  lua_pushboolean(L, t->state == GREEN_DONE);
  if (!lg_is_lua(t)) {
    lua_pushinteger(L, (int)t->since);
    return 2;
  }
  if (t->state == GREEN_DONE)
    return t->user ? 1 + copy(L, t->user, LG_BASE + 1) : 1;
  if (t->state == GREEN_KILLED)
    lg_push_killed(L, G, t);
  else if (copy(L, t->user, lua_gettop(t->user)) == 0)
    lua_pushnil(L);
  return 2;
}

int green_lua_outcome(lua_State *L, int index, int *nresults) {
  struct lg *G = lg_find(L);
  struct green_thread *t = lg_to_thread(L, index);
  int n;
  *nresults = 0;
  if (!G || !t) luaL_argerror(L, index, "green.thread expected");
  if (t->state < GREEN_DONE) return LUA_YIELD;
  t->user_flags |= LG_AWAITED;
  n = lg_push_outcome(L, G, t) - 1;
  lua_remove(L, -n - 1);
  *nresults = n;
  return t->state == GREEN_DONE ? LUA_OK : LUA_ERRRUN;
}

/* The waiter remembers whose error it re-raises, for its traceback. */
static int raise_outcome(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (t) {
    lg_make_rare(L, G, t);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, RARE_CAUSE);
    lua_pop(L, 1);
  }
  return lua_error(L);
}

static int finish_join(lua_State *L, struct lg *G) {
  return lg_push_outcome(L, G, lg_known_thread(L));
}

static int finish_wait(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_known_thread(L);
  int n = lg_push_outcome(L, G, t);
  if (t->state != GREEN_DONE) return raise_outcome(L, G);
  return n - 1;
}

static int wait_for(lua_State *L, const struct lg_op *op,
                    int (*finish)(lua_State *L, struct lg *G)) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_known_thread(L);
  uint64_t deadline = lg_limit(L, 2);
  if (t == lg_current(G))
    return luaL_error(L, "a green thread cannot wait for itself");
  lua_settop(L, 2);
  if (deadline > 0) {
    int r = lg_enter(L, G, op);
    if (r >= 0) return r;
  }
  if (t->state >= GREEN_DONE) return finish(L, G);
  if (deadline == 0) return lg_push_timeout(L);
  return lg_wait(L, G, op, t, &t->joiners, deadline);
}

static int join_woken(lua_State *L, struct lg *G, int reason) {
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  return finish_join(L, G);
}

static int wait_woken(lua_State *L, struct lg *G, int reason) {
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  return finish_wait(L, G);
}

static int close_woken(lua_State *L, struct lg *G, int reason) {
  (void)L, (void)G, (void)reason;
  return 0;
}

static int finish_close(lua_State *L, struct lg *G) {
  return close_woken(L, G, 0);
}

static const struct lg_op join_op = {
    {"thread:join", NULL, NULL}, lg_thread_join, join_woken, NULL};
static const struct lg_op wait_op = {
    {"thread:wait", NULL, NULL}, lg_thread_wait, wait_woken, NULL};

/* A handle that is closed joins, but is no destination of the error. */
static const struct lg_op close_op = {{"close of a green thread", NULL, NULL},
                                      lg_thread_await_end,
                                      close_woken,
                                      NULL};

static int is_destination(const struct green_node *node) {
  const struct green_watch *watch = (const struct green_watch *)node;
  if (!node->thread) return watch->kind->owns && watch->kind->owns(watch);
  return node->thread->kind != &close_op.kind;
}

int lg_has_waiter(const struct green_thread *t) {
  const struct green_link *link = t->joiners.link.next;
  for (; link != &t->joiners.link; link = link->next)
    if (is_destination((const struct green_node *)link)) return 1;
  return 0;
}

int lg_thread_await_end(lua_State *L) {
  return wait_for(L, &close_op, finish_close);
}

int lg_thread_join(lua_State *L) {
  return wait_for(L, &join_op, finish_join);
}

int lg_thread_wait(lua_State *L) {
  return wait_for(L, &wait_op, finish_wait);
}

/* --- among many things: join --- */

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct green_thread *t = object;
  (void)at;
  if (t == lg_current(G))
    return luaL_error(L, "a green thread cannot wait for itself");
  if (t->state < GREEN_DONE) return -1;
  return lg_push_outcome(L, G, t);
}

static struct green_list *joiners(void *object) {
  return &((struct green_thread *)object)->joiners;
}

static int fetch(lua_State *L, struct lg *G, void *object, int at,
                 int reason) {
  (void)at, (void)reason;
  return lg_push_outcome(L, G, object);
}

static int settled(const void *object) {
  return ((const struct green_thread *)object)->state >= GREEN_DONE;
}

static struct green_thread *thread_of(void *object) {
  return object;
}

static void *of_handle(lua_State *L, int at) {
  return lg_to_thread(L, at);
}

const struct lg_waitable lg_thread_waitable = {
    .op = {.kind = {.name = "thread:join"}},
    .attempt = attempt,
    .list = joiners,
    .fetch = fetch,
    .object = of_handle,
    .settled = settled,
    .thread_of = thread_of};
