/* condition.c - condition variables: an event lets the threads go on that wait
 * at that moment.
 *
 * A condition has no state and no lock: between two calls that may switch
 * nothing else runs, so the fact that a waiter has checked still holds when it
 * begins to wait. A signal wakes exactly one thread that goes on; if that one
 * ends before it runs, the next takes its place. A broadcast wakes all, so
 * there is no next one: it wakes with GREEN_CLOSED, which is not undone.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/waitable.h"
#include "sync/sync.h"

struct condition {
  struct lg_object object;
  struct green_list waiters;
};

static int condition_wait(lua_State *L);

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  (void)L, (void)G, (void)object, (void)at;
  return -1;
}

static struct green_list *waiters(void *object) {
  return &((struct condition *)object)->waiters;
}

static void signal_next(struct green_hub *hub, void *object) {
  green_wake_first(hub, waiters(object), GREEN_WOKEN);
}

static const struct lg_waitable wait_waitable = {
    .op = {{"condition:wait", lg_one_undo, NULL},
           condition_wait,
           lg_one_woken,
           NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = lg_fetch_true,
    .undo = signal_next,
    .waits = 1};

static const struct lg_class condition_class = {"green.condition",
                                                &wait_waitable, NULL};

static struct condition *self(lua_State *L) {
  return lg_check_object(L, &condition_class, sizeof(struct condition));
}

/* wait([s]): true when signalled. May switch. */
static int condition_wait(lua_State *L) {
  return lg_wait_one(L, &wait_waitable, &condition_class,
                     sizeof(struct condition));
}

/* signal(): wakes the first waiter, if there is one. Never switches. */
static int condition_signal(lua_State *L) {
  struct condition *c = self(L);
  signal_next(c->object.G->hub, c);
  return 0;
}

/* broadcast(): wakes all. Never switches. */
static int condition_broadcast(lua_State *L) {
  struct condition *c = self(L);
  green_wake_all(c->object.G->hub, &c->waiters, GREEN_CLOSED);
  assert(!green_list_head(&c->waiters));
  return 0;
}

static const luaL_Reg methods[] = {{"wait", condition_wait},
                                   {"signal", condition_signal},
                                   {"broadcast", condition_broadcast},
                                   {NULL, NULL}};

/* condition(): upvalue 2 is the metatable. */
static int l_condition(lua_State *L) {
  struct lg *G = lg_get(L);
  struct condition *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (struct condition){.object = {&condition_class, G}};
  green_list_init(&c->waiters);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void lg_open_condition(lua_State *L) {
  static const luaL_Reg make[] = {{"condition", l_condition}, {NULL, NULL}};
  lg_new_class(L, condition_class.name, methods, NULL);
  lg_setfuncs(L, make, 1);
}
