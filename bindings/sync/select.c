/* select.c - waiting for many things, of which exactly one goes on.
 *
 * The caller's stack has two slots for each case: the object and the value to
 * put. The select first attempts each case, in order. If none can go on at
 * once, each gets a node in the list where a single call would wait. The waker
 * unlinks the node through which it wakes, and the end of the wait unlinks all
 * others: the case whose node is unlinked already is the one that goes on.
 *
 * Between the last attempt and the links nothing may run that could make a case
 * ready, and Lua may run finalizers wherever it allocates. So the select first
 * makes all it needs for the wait, and then attempts each case once more.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "sync/case.h"
#include "sync/sync.h"

struct one {
  struct green_node node;
  const struct lg_waitable *w;
  void *object;
  void *where; /* of w->link */
};

struct selection {
  uint64_t deadline;
  int n;
  int fired; /* from 0; -1: none */
  struct one cases[];
};

/* The stack: the cases, the limit, then the objects. */
enum { CASES = 1, LIMIT, OBJECTS };

static const struct lg_op select_op;
static int l_select(lua_State *L);
static int wait_for_any(lua_State *L, struct lg *G, int n, uint64_t deadline);

static int place(int i) {
  return OBJECTS + 2 * i;
}

static const struct lg_waitable *known(lua_State *L, struct lg *G, int i,
                                       void **object) {
  return lg_case_operation(L, G, CASES, i, place(i), object);
}

/* --- going on with one --- */

static int attempt(lua_State *L, struct lg *G, int i) {
  void *object;
  const struct lg_waitable *w = known(L, G, i, &object);
  int r;
  r = w->attempt(L, G, object, place(i));
  return r < 0 ? -1 : lg_case_chosen(L, i, r);
}

static int attempt_all(lua_State *L, struct lg *G, int n) {
  int i, r;
  for (i = 0; i < n; i++)
    if ((r = attempt(L, G, i)) >= 0) return r;
  return -1;
}

/* --- waiting --- */

static void unlink_all(struct green_hub *hub, struct selection *s) {
  int i;
  for (i = 0; i < s->n; i++) {
    struct one *c = &s->cases[i];
    if (!c->node.link.next && c->node.thread) {
      assert(s->fired < 0); /* a waker leaves the other nodes linked */
      s->fired = i;
    }
    if (c->w->unlink && c->where)
      c->w->unlink(hub, c->where, &c->node);
    else if (c->node.link.next)
      green_list_remove(&c->node);
    c->node.thread = NULL;
  }
}

static void leave(struct green_hub *hub, struct green_thread *t) {
  unlink_all(hub, t->on);
}

static void undo(struct green_hub *hub, struct green_thread *t) {
  struct selection *s = t->on;
  int i;
  for (i = 0; i < s->n; i++)
    if (s->cases[i].w->abandon) s->cases[i].w->abandon(s->cases[i].object);
  if (t->reason == GREEN_WOKEN && s->fired >= 0 && s->cases[s->fired].w->undo)
    s->cases[s->fired].w->undo(hub, s->cases[s->fired].object);
}

/* Drops the values to put that nobody took; raises if a value could not be
 * compared. */
static void withdraw(lua_State *L, struct selection *s, int reason) {
  int i;
  for (i = 0; i < s->n; i++) {
    struct one *c = &s->cases[i];
    if (c->w->withdraw && (i != s->fired || reason <= GREEN_EXIT))
      c->w->withdraw(L, place(i), &c->node);
  }
  if (reason > GREEN_EXIT)
    s->cases[s->fired].w->failed(L, place(s->fired), &s->cases[s->fired].node);
}

/* The selection of the current thread, which has just resumed. It lies above
 * the objects; drops values of a foreign resume above it. */
static struct selection *its_own(lua_State *L, struct lg *G) {
  struct selection *s = lg_running(G)->on;
  lua_settop(L, place(s->n));
  return s;
}

static int woken(lua_State *L, struct lg *G, int reason) {
  struct selection *s = its_own(L, G);
  int n = s->n, r;
  uint64_t deadline = s->deadline;
  withdraw(L, s, reason);
  if (s->fired >= 0) {
    struct one *c = &s->cases[s->fired];
    r = c->w->fetch(L, G, c->object, place(s->fired), reason);
    if (r >= 0) return lg_case_chosen(L, s->fired, r);
  }
  lua_settop(L, place(n)); /* a case is due, or its object was not ready after
                              all */
  if ((r = attempt_all(L, G, n)) >= 0) return r;
  if (reason == GREEN_TIMEOUT && deadline <= green_now())
    return lg_push_timeout(L);
  if (lg_is_struck(G)) {
    lg_interrupt(L, G, &select_op);
    return l_select(L); /* it was taken back */
  }
  lua_settop(L, place(n) - 1);
  return wait_for_any(L, G, n, deadline);
}

static void interrupted(lua_State *L, struct lg *G) {
  withdraw(L, its_own(L, G), GREEN_INTERRUPT);
}

static const struct lg_op select_op = {
    {"select", undo, leave}, l_select, woken, interrupted};

/* Pushes the selection, with nothing linked. */
static struct selection *make(lua_State *L, struct lg *G, int n,
                              uint64_t deadline) {
  size_t size = sizeof(struct selection) + (size_t)n * sizeof(struct one);
  struct selection *s = lua_newuserdatauv(L, size, 0);
  int i;
  memset(s, 0, size);
  s->deadline = deadline;
  s->n = n;
  s->fired = -1;
  for (i = 0; i < n; i++) {
    struct one *c = &s->cases[i];
    c->w = known(L, G, i, &c->object);
  }
  return s;
}

/* A case with a link function of its own is woken even if it is ready
 * already. */
static int attempt_again(lua_State *L, struct lg *G, struct selection *s) {
  int i, r;
  for (i = 0; i < s->n; i++) {
    struct one *c = &s->cases[i];
    if (c->w->link) continue;
    if ((r = c->w->attempt(L, G, c->object, place(i))) >= 0)
      return lg_case_chosen(L, i, r);
  }
  return -1;
}

/* (object, value, case) */
static int deposit_one(lua_State *L) {
  struct one *c = lua_touserdata(L, 3);
  c->w->deposit(L, 1, &c->node);
  return 0;
}

/* An error must not leave the other cases linked. */
static int deposit(lua_State *L, struct one *c, int at) {
  if (!c->w->deposit) return 0;
  lua_pushcfunction(L, deposit_one);
  lua_pushvalue(L, at);
  lua_pushvalue(L, at + 1);
  lua_pushlightuserdata(L, c);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return 0;
  lua_pop(L, 1);
  return UV_ENOMEM; /* no other node is in its way */
}

static int link_one(lua_State *L, struct lg *G, struct selection *s, int i) {
  struct one *c = &s->cases[i];
  int r = deposit(L, c, place(i));
  if (r < 0) return r;
  if (c->w->link)
    r = c->w->link(G, c->object, &c->node, &c->where);
  else
    green_list_add(c->w->list(c->object), &c->node);
  if (r >= 0 && c->node.link.next) c->node.thread = lg_running(G);
  return r;
}

static uint64_t earliest(const struct selection *s) {
  uint64_t at = s->deadline;
  int i;
  for (i = 0; i < s->n; i++) {
    const struct one *c = &s->cases[i];
    uint64_t due = c->w->due ? c->w->due(c->object) : GREEN_FOREVER;
    if (due < at) at = due;
  }
  return at;
}

static int cannot_wait(lua_State *L, struct lg *G, struct selection *s, int i,
                       int error) {
  int r;
  unlink_all(G->hub, s);
  withdraw(L, s, GREEN_INTERRUPT);
  if (error == UV_EBUSY && i < s->n)
    s->cases[i].w->busy(L, G, s->cases[i].object);
  if (error == UV_EBADF && (r = attempt(L, G, i)) >= 0) return r;
  return lg_case_unlinked(L, error);
}

static int wait_for_any(lua_State *L, struct lg *G, int n, uint64_t deadline) {
  struct selection *s = make(L, G, n, deadline);
  int keep = lg_keep_or_yield(L, G, &select_op), i, r;
  if ((r = attempt_again(L, G, s)) >= 0) return r;
  for (i = r = 0; i < n && r >= 0; i++) r = link_one(L, G, s, i);
  if (r >= 0)
    r = green_wait_begin(G->hub, &select_op.kind, s, NULL, earliest(s));
  else
    i--;
  if (r < 0) return cannot_wait(L, G, s, i, r);
  return lg_park(L, G, &select_op, keep);
}

/* select(cases [, s]): the number of the case that went on, and the results of
 * its operation. May switch. */
static int l_select(lua_State *L) {
  struct lg *G = lg_get(L);
  uint64_t deadline;
  int i, n, r;
  luaL_checktype(L, CASES, LUA_TTABLE);
  deadline = lg_limit(L, LIMIT);
  lua_settop(L, LIMIT);
  lg_need_calls(L, G, 1); /* a lock's guard is to be closed */
  if (deadline > 0 && (r = lg_enter_first(L, G, &select_op, LG_MAY_WAIT)) >= 0)
    return r;
  n = (int)lua_rawlen(L, CASES);
  luaL_checkstack(L, 2 * n + 10, "too many cases");
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, CASES, i + 1);
    lg_case_expand(L, G, CASES, i);
    if ((r = attempt(L, G, i)) >= 0) return r;
  }
  lg_case_last(L, CASES, n);
  if (n == 0) luaL_argerror(L, CASES, "a list with cases expected");
  if (deadline == 0) return lg_push_timeout(L);
  return wait_for_any(L, G, n, deadline);
}

void lg_open_select(lua_State *L) {
  static const luaL_Reg functions[] = {{"select", l_select}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
