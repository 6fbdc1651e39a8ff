/* queue.c - queues and channels.
 *
 * Values never move between threads: they lie in the queue's table, slots
 * 1 .. room used as a ring. A put that finds a getter waiting stores its value
 * and hands the getter a reservation; the getter fetches it when it runs. A
 * put that must wait leaves its value in the same table under its number
 * (a negative key), so that a getter can take it without the putter running:
 *
 *   count      values in the ring, reserved ones included
 *   reserved   values that woken getters will fetch
 *
 * so a newcomer may take one exactly when count > reserved, and everybody is
 * served first come, first served. A queue of limit 0 is a channel: a value
 * enters the ring only for a getter that waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include "binding.h"

static const char NAME[] = "green.queue"; /* also the tag */

struct queue {
  struct green_lua_object object;
  struct green_list getters, putters, joiners;
  lua_Integer limit; /* < 0: none */
  lua_Integer room, head, count, reserved;
  lua_Integer unfinished, ngetters, nputters;
  int closed;
};

static int queue_get(lua_State *L);
static int queue_put(lua_State *L);
static int queue_join(lua_State *L);

static struct queue *self(lua_State *L) {
  return green_lua__object(L, NAME, sizeof(struct queue));
}

/* --- the ring; the table is on top of the stack --- */

static lua_Integer slot(const struct queue *q, lua_Integer i) {
  return ((q->head + i) & (q->room - 1)) + 1;
}

/* Doubles the ring in place: what had wrapped round moves behind the end. */
static void grow(lua_State *L, struct queue *q) {
  lua_Integer i, room = q->room ? q->room * 2 : 8;
  lua_Integer wrapped = q->head + q->count - q->room;
  for (i = room; i > q->room; i--) { /* room first: this may raise */
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i);
  }
  for (i = 1; i <= wrapped; i++) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, q->room + i);
  }
  q->room = room;
}

/* Pops the value and stores it at the tail. */
static void push_ring(lua_State *L, struct queue *q, int table) {
  if (q->count == q->room) {
    lua_pushvalue(L, table);
    grow(L, q);
    lua_pop(L, 1);
  }
  lua_rawseti(L, table, slot(q, q->count));
  q->count++;
}

static void pop_ring(lua_State *L, struct queue *q, int table) {
  lua_Integer at = slot(q, 0);
  lua_rawgeti(L, table, at);
  lua_pushboolean(L, 0);
  lua_rawseti(L, table, at);
  q->head = (q->head + 1) & (q->room - 1);
  q->count--;
}

/* The limit is seldom given: one cheap call of Lua's API says so. */
static uint64_t limit_at(lua_State *L, int index) {
  return lua_gettop(L) < index ? GREEN_FOREVER : green_lua__limit(L, index);
}

static int table_of(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  return lua_gettop(L);
}

/* --- hand-over --- */

/* A value came in: its getter, if one waits. */
static void offer(struct green_lua *G, struct queue *q) {
  if (q->ngetters && green_wake_first(G->hub, &q->getters, GREEN_WOKEN))
    q->reserved++;
}

static int has_room(const struct queue *q) {
  return q->limit < 0 || q->count - q->reserved < q->limit;
}

/* A thread has one waiting put at most: its id is the put's number. */
static lua_Integer number_of(const struct green_thread *t) {
  return (lua_Integer)t->id;
}

/* Moves the value of the first waiting put into the ring and lets it go on. */
static void admit(lua_State *L, struct green_lua *G, struct queue *q,
                  int table) {
  struct green_thread *t = green_list_first(&q->putters);
  lua_rawgeti(L, table, -number_of(t));
  push_ring(L, q, table);
  lua_pushnil(L);
  lua_rawseti(L, table, -number_of(t));
  q->unfinished++;
  green_wake(G->hub, t, GREEN_WOKEN);
}

static void admit_all(lua_State *L, struct green_lua *G, struct queue *q,
                      int table) {
  while (q->nputters && has_room(q)) {
    admit(L, G, q, table);
    offer(G, q);
  }
}

static struct queue *of(const struct green_thread *t) {
  return t->on;
}

static void getter_leaves(struct green_hub *hub, struct green_thread *t) {
  (void)hub;
  of(t)->ngetters--;
}

/* The getter was handed a value, but ends without having run. */
static void getter_undo(struct green_hub *hub, struct green_thread *t) {
  struct queue *q = of(t);
  if (t->reason != GREEN_WOKEN) return;
  q->reserved--;
  if (green_wake_first(hub, &q->getters, GREEN_WOKEN)) q->reserved++;
}

static void putter_leaves(struct green_hub *hub, struct green_thread *t) {
  (void)hub;
  of(t)->nputters--;
}

/* --- get --- */

/* The first `reserved` values are promised to getters that were woken and have
 * not run yet: whoever comes later takes the one behind them. */
static void skip_reserved(lua_State *L, struct queue *q, int table) {
  lua_Integer i;
  lua_rawgeti(L, table, slot(q, q->reserved));
  for (i = q->reserved; i > 0; i--) {
    lua_rawgeti(L, table, slot(q, i - 1));
    lua_rawseti(L, table, slot(q, i));
  }
  lua_rawseti(L, table, slot(q, 0));
}

static int take(lua_State *L, struct green_lua *G, struct queue *q) {
  int table = table_of(L);
  pop_ring(L, q, table);
  if (q->nputters) admit_all(L, G, q, table);
  return 1;
}

/* A channel's value comes straight from the first waiting put. */
static int take_from_putter(lua_State *L, struct green_lua *G,
                            struct queue *q) {
  int table = table_of(L);
  struct green_thread *t = green_list_first(&q->putters);
  lua_rawgeti(L, table, -number_of(t));
  lua_pushnil(L);
  lua_rawseti(L, table, -number_of(t));
  q->unfinished++;
  green_wake(G->hub, t, GREEN_WOKEN);
  return 1;
}

static int get_woken(lua_State *L, struct green_lua *G, int reason) {
  struct queue *q = lua_touserdata(L, 1);
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  if (reason == GREEN_CLOSED) return green_lua__push_closed(L);
  q->reserved--;
  return take(L, G, q);
}

static const struct green_lua_op get_op = {
    {"queue:get", getter_undo, getter_leaves}, queue_get, get_woken, NULL};

/* get([s]): the next value. May switch. */
static int queue_get(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  uint64_t deadline = limit_at(L, 2);
  int keep, r;
  if (deadline > 0 && (r = green_lua__enter(L, G, &get_op)) >= 0) return r;
  if (q->count > q->reserved) {
    if (unlikely(q->reserved)) skip_reserved(L, q, table_of(L));
    return take(L, G, q);
  }
  lua_settop(L, 2);
  if (q->nputters) return take_from_putter(L, G, q);
  if (q->closed) return green_lua__push_closed(L);
  if (deadline == 0) return green_lua__push_timeout(L);
  keep = green_lua__prepare(L, G, &get_op);
  r = green_wait_begin(G->hub, &get_op.kind, q, &q->getters, deadline);
  if (r < 0) return luaL_error(L, "'queue:get': %s", green_strerror(r));
  q->ngetters++;
  return green_lua__park(L, G, &get_op, keep);
}

/* --- put --- */

/* The value of a put that gave up is dropped from the table by the putter
 * itself; nobody asks for its number any more. */
static void withdraw(lua_State *L, lua_Integer number) {
  lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_rawseti(L, -2, -number);
  lua_pop(L, 1);
}

static int put_woken(lua_State *L, struct green_lua *G, int reason) {
  if (reason == GREEN_WOKEN) {
    lua_pushboolean(L, 1);
    return 1;
  }
  withdraw(L, number_of(green_lua__current(G)));
  return reason == GREEN_TIMEOUT ? green_lua__push_timeout(L)
                                 : green_lua__push_closed(L);
}

static void put_interrupted(lua_State *L, struct green_lua *G) {
  withdraw(L, number_of(green_lua__current(G)));
}

static const struct green_lua_op put_op = {
    {"queue:put", NULL, putter_leaves}, queue_put, put_woken, put_interrupted};

static int wait_to_put(lua_State *L, struct green_lua *G, struct queue *q,
                       uint64_t deadline) {
  int keep = green_lua__prepare(L, G, &put_op), r;
  lua_Integer number = number_of(green_lua__current(G));
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, -number);
  lua_pop(L, 1);
  r = green_wait_begin(G->hub, &put_op.kind, q, &q->putters, deadline);
  if (r < 0) {
    withdraw(L, number);
    return luaL_error(L, "'queue:put': %s", green_strerror(r));
  }
  q->nputters++;
  return green_lua__park(L, G, &put_op, keep);
}

/* put(v [, s]): true. May switch, even without a limit: a producer that never
 * waits goes round when its budget is spent (API G33). */
static int queue_put(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  uint64_t deadline = limit_at(L, 3);
  int r;
  if (unlikely(lua_type(L, 2) <= LUA_TNIL))
    return luaL_argerror(L, 2, "value expected, got nil");
  if (deadline > 0 && (r = green_lua__enter(L, G, &put_op)) >= 0) return r;
  if (q->closed) return green_lua__push_closed(L);
  if (q->ngetters || (has_room(q) && !q->nputters)) {
    int table = table_of(L);
    lua_pushvalue(L, 2);
    push_ring(L, q, table);
    q->unfinished++;
    offer(G, q);
    lua_pushboolean(L, 1);
    return 1;
  }
  if (deadline == 0) return green_lua__push_timeout(L);
  lua_settop(L, 3);
  return wait_to_put(L, G, q, deadline);
}

/* --- the rest --- */

static int queue_peek(lua_State *L) {
  struct queue *q = self(L);
  lua_settop(L, 1);
  if (q->count <= q->reserved) {
    struct green_thread *t = green_list_first(&q->putters);
    lua_pushnil(L);
    if (!t) return 1;
    lua_getiuservalue(L, 1, 1);
    lua_rawgeti(L, -1, -number_of(t));
    return 1;
  }
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, slot(q, q->reserved));
  return 1;
}

/* close(): no more puts; getters drain. Never switches. */
static int queue_close(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  if (q->closed) return 0;
  q->closed = 1;
  green_wake_all(G->hub, &q->putters, GREEN_CLOSED);
  green_wake_all(G->hub, &q->getters, GREEN_CLOSED);
  return 0;
}

static void done(struct green_lua *G, struct queue *q, lua_Integer n) {
  q->unfinished -= n;
  if (q->unfinished == 0) green_wake_all(G->hub, &q->joiners, GREEN_WOKEN);
}

/* clear(): drops what nobody was promised; the number. Never switches. */
static int queue_clear(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  lua_Integer n = q->count - q->reserved, i;
  int table;
  lua_settop(L, 1);
  table = table_of(L);
  for (i = 0; i < n; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, table, slot(q, q->reserved + i));
  }
  q->count = q->reserved;
  done(G, q, n);
  admit_all(L, G, q, table);
  lua_pushinteger(L, n);
  return 1;
}

static lua_Integer limit_arg(lua_State *L, int index) {
  lua_Number n;
  if (lua_isnoneornil(L, index)) return -1;
  n = luaL_checknumber(L, index);
  luaL_argcheck(L, n >= 0, index, "limit must not be negative");
  return n >= 9e15 ? -1 : luaL_checkinteger(L, index);
}

/* resize([n]): admits waiting puts if there is more room. */
static int queue_resize(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  lua_settop(L, 2);
  q->limit = limit_arg(L, 2);
  admit_all(L, G, q, table_of(L));
  return 0;
}

static int queue_len(lua_State *L) {
  struct queue *q = self(L);
  lua_pushinteger(L, q->count - q->reserved);
  return 1;
}

/* waiting(): getters, putters. */
static int queue_waiting(lua_State *L) {
  struct queue *q = self(L);
  lua_pushinteger(L, q->ngetters);
  lua_pushinteger(L, q->nputters);
  return 2;
}

static int queue_task_done(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  if (q->unfinished <= 0)
    return luaL_error(L, "task_done called more often than items were put");
  done(G, q, 1);
  return 0;
}

static int join_woken(lua_State *L, struct green_lua *G, int reason) {
  (void)G;
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  lua_pushboolean(L, 1);
  return 1;
}

static const struct green_lua_op join_op = {
    {"queue:join", NULL, NULL}, queue_join, join_woken, NULL};

/* join([s]): true when each item that was put has been done. May switch. */
static int queue_join(lua_State *L) {
  struct queue *q = self(L);
  struct green_lua *G = q->object.G;
  uint64_t deadline = green_lua__limit(L, 2);
  int r;
  lua_settop(L, 2);
  if (deadline > 0 && (r = green_lua__enter(L, G, &join_op)) >= 0) return r;
  if (q->unfinished > 0) {
    if (deadline == 0) return green_lua__push_timeout(L);
    return green_lua__wait(L, G, &join_op, q, &q->joiners, deadline);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* get without a limit: the control variable of the loop is none. */
static int queue_next(lua_State *L) {
  lua_settop(L, 1);
  return queue_get(L);
}

/* items(): an iterator until closed and drained. */
static int queue_items(lua_State *L) {
  self(L);
  lua_getfield(L, lua_upvalueindex(2), "__next");
  lua_pushvalue(L, 1);
  return 2;
}

static const luaL_Reg methods[] = {{"put", queue_put},
                                   {"get", queue_get},
                                   {"peek", queue_peek},
                                   {"items", queue_items},
                                   {"close", queue_close},
                                   {"clear", queue_clear},
                                   {"resize", queue_resize},
                                   {"waiting", queue_waiting},
                                   {"task_done", queue_task_done},
                                   {"join", queue_join},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__len", queue_len}, {"__next", queue_next}, {NULL, NULL}};

static int make(lua_State *L, lua_Integer limit) {
  struct green_lua *G = green_lua__get(L);
  struct queue *q = lua_newuserdatauv(L, sizeof *q, 1);
  *q = (struct queue){.object = {NAME, G}, .limit = limit};
  green_list_init(&q->getters);
  green_list_init(&q->putters);
  green_list_init(&q->joiners);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

static int l_queue(lua_State *L) {
  return make(L, limit_arg(L, 1));
}

static int l_channel(lua_State *L) {
  return make(L, 0);
}

void green_lua__open_queue(lua_State *L) {
  static const luaL_Reg make_funcs[] = {
      {"queue", l_queue}, {"channel", l_channel}, {NULL, NULL}};
  green_lua__class(L, NAME, methods, meta);
  green_lua__setfuncs(L, make_funcs, 1);
}
