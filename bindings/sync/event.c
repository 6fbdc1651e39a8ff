/* event.c - events: one value, sent once.
 *
 * The values stay in the event; a woken thread fetches them itself. One value
 * lies in the user value, several in a table there.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/rare.h"
#include "runtime/waitable.h"
#include "sync/sync.h"
#include "thread/handle.h"

struct event {
  struct lg_object object;
  struct green_list waiters;
  int state; /* EMPTY, SENT, ERROR */
  int n;
};

enum { EMPTY, SENT, ERROR };

static int event_wait(lua_State *L);

/* Pushes what was sent. */
static int push_values(lua_State *L, const struct event *e, int at) {
  int i;
  assert(e->state != EMPTY && e->n > 0);
  lua_getiuservalue(L, at, 1);
  if (e->n == 1) return 1;
  luaL_checkstack(L, e->n + 1, "too many values");
  for (i = 1; i <= e->n; i++) lua_rawgeti(L, -i, i);
  lua_remove(L, -e->n - 1);
  return e->n;
}

static int fetch(lua_State *L, struct lg *G, void *object, int at,
                 int reason) {
  const struct event *e = object;
  int n = push_values(L, e, at);
  (void)G, (void)reason;
  return e->state == ERROR ? lua_error(L) : n;
}

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  const struct event *e = object;
  return e->state == EMPTY ? -1 : fetch(L, G, object, at, GREEN_WOKEN);
}

static struct green_list *waiters(void *object) {
  return &((struct event *)object)->waiters;
}

/* In a select, an event returns values as join does: true, values ... or false,
 * error. */
static int fetch_outcome(lua_State *L, struct lg *G, void *object, int at,
                         int reason) {
  const struct event *e = object;
  (void)G, (void)reason;
  lua_pushboolean(L, e->state == SENT);
  return 1 + push_values(L, e, at);
}

static int attempt_outcome(lua_State *L, struct lg *G, void *object, int at) {
  const struct event *e = object;
  return e->state == EMPTY ? -1 : fetch_outcome(L, G, object, at, GREEN_WOKEN);
}

static int settled(const void *object) {
  return ((const struct event *)object)->state != EMPTY;
}

static const struct lg_waitable wait_waitable = {
    .op = {{"event:wait", NULL, NULL}, event_wait, lg_one_woken, NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = fetch};

static const struct lg_waitable outcome_waitable = {
    .op = {.kind = {.name = "event:wait"}},
    .attempt = attempt_outcome,
    .list = waiters,
    .fetch = fetch_outcome,
    .settled = settled};

static const struct lg_class event_class = {"green.event", &outcome_waitable,
                                            NULL};

static struct event *self(lua_State *L) {
  return lg_check_object(L, &event_class, sizeof(struct event));
}

/* wait([s]): the values sent, or raises the error sent. May switch. */
static int event_wait(lua_State *L) {
  return lg_wait_one(L, &wait_waitable, &event_class, sizeof(struct event));
}

static struct event *to_send(lua_State *L) {
  struct event *e = self(L);
  if (e->state != EMPTY) luaL_error(L, "the event was sent already");
  return e;
}

static int sent(lua_State *L, struct event *e, int state) {
  (void)L;
  assert(e->state == EMPTY && state != EMPTY);
  e->state = state;
  green_wake_all(e->object.G->hub, &e->waiters, GREEN_WOKEN);
  assert(!green_list_head(&e->waiters)); /* and nobody comes any more */
  return 0;
}

/* send(...): sends the values, or true if there are none. Never switches. */
static int event_send(lua_State *L) {
  struct event *e = to_send(L);
  int i, n = lua_gettop(L) - 1;
  if (n == 0) {
    lua_pushboolean(L, 1);
  } else if (n > 1) {
    lua_createtable(L, n, 0);
    to_send(L); /* a finalizer that ran there may have sent it */
    lua_insert(L, 2);
    for (i = n; i > 0; i--) lua_rawseti(L, 2, i);
  }
  lua_setiuservalue(L, 1, 1);
  e->n = n ? n : 1;
  return sent(L, e, SENT);
}

/* send_error(err): each wait raises the error. */
static int event_send_error(lua_State *L) {
  struct event *e = to_send(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, 1);
  e->n = 1;
  return sent(L, e, ERROR);
}

static int event_ready(lua_State *L) {
  struct event *e = self(L);
  lua_pushboolean(L, e->state != EMPTY);
  return 1;
}

/* The end of a thread sends its event. It stands among the thread's joiners, so
 * that needs no memory then, and lies among its rare things, whose life is the
 * thread's. The event is its user value. */
struct tie {
  struct green_watch watch;
  struct event *event;
};

static void fire(struct green_hub *hub, struct green_watch *watch) {
  struct event *e = ((struct tie *)watch)->event;
  (void)hub;
  if (e->state != EMPTY) return;
  e->n = 1;
  sent(NULL, e, SENT);
}

/* send_at_end(event, thread): the end of the thread sends true, unless the
 * event was sent before. Only once for a thread, which must live. */
static int l_send_at_end(lua_State *L) {
  static const struct green_watch_kind kind = {fire, NULL};
  struct event *e = to_send(L);
  struct lg_handle *h = lg_to_handle(L, 2);
  struct green_thread *t;
  struct tie *tie;
  lua_settop(L, 2);
  if (!h) luaL_typeerror(L, 2, "green.thread");
  lua_pushboolean(L, 1);
  lua_setiuservalue(L, 1, 1);
  tie = lua_newuserdatauv(L, sizeof *tie, 1);
  *tie = (struct tie){.watch = {.kind = &kind}, .event = e};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, 1);
  lg_handle_rare(L, e->object.G, 2, 1);
  lua_pushvalue(L, 3);
  lua_rawseti(L, 4, RARE_EVENT);
  if ((t = lg_live(h))) {
    assert(t->state < GREEN_DONE); /* its end looks at the joiners once */
    green_list_add(&t->joiners, &tie->watch.node);
  } else {
    fire(e->object.G->hub, &tie->watch); /* a finalizer has ended it */
  }
  return 0;
}

static const luaL_Reg methods[] = {{"wait", event_wait},
                                   {"send", event_send},
                                   {"send_error", event_send_error},
                                   {"ready", event_ready},
                                   {NULL, NULL}};

/* event(): upvalue 2 is the metatable. */
static int l_event(lua_State *L) {
  struct lg *G = lg_get(L);
  struct event *e = lua_newuserdatauv(L, sizeof *e, 1);
  e->object.klass = &event_class;
  e->object.G = G;
  green_list_init(&e->waiters);
  e->state = EMPTY;
  e->n = 0;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void lg_open_event(lua_State *L) {
  static const luaL_Reg make[] = {
      {"event", l_event}, {"send_at_end", l_send_at_end}, {NULL, NULL}};
  lg_new_class(L, event_class.name, methods, NULL);
  lg_setfuncs(L, make, 1);
}
