/* join.c - waiting for a thread, and reading its outcome.
 *
 * The waiter has the handle on its stack, and the outcome has moved there
 * before the waiter is woken.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/join.h"

#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "thread/handle.h"
#include "thread/thread.h"

/* pcall's shape: true, results... or false, error. */
int lg_push_outcome(lua_State *L, struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  int i, n;
  assert(lg_is_lua(t) && t->state >= GREEN_DONE);
  luaL_checkstack(L, 5, "luagreen");
  if (t->state != GREEN_DONE || t->user_flags & LG_HANDLED) {
    lg_push_thread(L, G, t);
    n = lg_push_end(L, G, lua_absindex(L, -1));
    lua_remove(L, -n - 1);
    return n;
  }
  lua_pushboolean(L, 1);
  n = co ? lua_gettop(co) - LG_BASE : 0;
  luaL_checkstack(L, n + 2, "too many results");
  if (n > 0 && !lua_checkstack(co, n)) luaL_error(L, "too many results");
  for (i = 1; i <= n; i++) lua_pushvalue(co, LG_BASE + i);
  if (n > 0) lua_xmove(co, L, n);
  return n + 1;
}

int green_lua_outcome(lua_State *L, int index, int *nresults) {
  struct lg *G = lg_find(L);
  const struct lg_handle *h = lg_to_handle(L, index);
  int n;
  *nresults = 0;
  if (!G || !h) luaL_argerror(L, index, "green.thread expected");
  if (lg_live(h)) return LUA_YIELD;
  n = lg_push_end(L, G, lua_absindex(L, index)) - 1;
  lua_remove(L, -n - 1);
  *nresults = n;
  return h->state == GREEN_DONE ? LUA_OK : LUA_ERRRUN;
}

/* The waiter notes which thread's error it raises again, for its traceback. */
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
  return lg_push_end(L, G, 1);
}

static int finish_wait(lua_State *L, struct lg *G) {
  const struct lg_handle *h = lua_touserdata(L, 1);
  int n = lg_push_end(L, G, 1);
  if (h->state != GREEN_DONE) return raise_outcome(L, G);
  return n - 1;
}

static int raise_itself(lua_State *L) {
  return luaL_error(L, "a green thread cannot wait for itself");
}

static int wait_for(lua_State *L, const struct lg_op *op,
                    int (*finish)(lua_State *L, struct lg *G)) {
  struct lg *G = lg_get(L);
  struct lg_handle *h = lg_self_handle(L);
  uint64_t deadline = lg_limit(L, 2);
  struct green_thread *t = lg_live(h);
  if (t && t == lg_current(G)) return raise_itself(L);
  lua_settop(L, 2);
  if (deadline > 0) {
    int r = t ? lg_enter_first(L, G, op, LG_WAITS) : lg_enter(L, G, op);
    if (r >= 0) return r;
  }
  if (!(t = lg_live(h))) return finish(L, G);
  if (deadline == 0) return lg_push_timeout(L);
  return lg_wait(L, G, op, t, &t->joiners, deadline);
}

/* A wait on behalf of a socket ends when the socket is closed. */
static int join_woken(lua_State *L, struct lg *G, int reason) {
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
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

/* Closing a handle joins, but does not count as a destination of the error. */
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
  const struct lg_handle *h = object;
  struct green_thread *t = lg_live(h);
  if (!t) return lg_push_end(L, G, lua_absindex(L, at));
  return t == lg_current(G) ? raise_itself(L) : -1;
}

/* An ended thread has no list, as nobody waits for its end. */
static struct green_list *joiners(void *object) {
  struct green_thread *t = lg_live(object);
  return t ? &t->joiners : NULL;
}

static int fetch(lua_State *L, struct lg *G, void *object, int at,
                 int reason) {
  (void)object, (void)reason;
  return lg_push_end(L, G, lua_absindex(L, at));
}

static int settled(const void *object) {
  return !lg_live(object);
}

static struct green_thread *thread_of(void *object) {
  return lg_live(object);
}

static void *of_handle(lua_State *L, int at) {
  return lg_to_handle(L, at);
}

const struct lg_waitable lg_thread_waitable = {
    .op = {.kind = {.name = "thread:join"}},
    .attempt = attempt,
    .list = joiners,
    .fetch = fetch,
    .object = of_handle,
    .settled = settled,
    .thread_of = thread_of};
