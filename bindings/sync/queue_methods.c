/* queue_methods.c - queues of every order, and channels, for Lua: their birth,
 * the methods that do not wait for a value, and their end.
 *
 * Where the state, or the maker's sandbox, has a limit for the values in its
 * queues, they are counted (runtime/counts.h), and only then has a queue a
 * finalizer.
 *
 * Green thread or hub; only join may switch.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/account.h"
#include "sync/queue.h"
#include "sync/sync.h"
#include "thread/thread.h"

static const char COUNTED[] = "queues that are counted"; /* their metatable */

static int counted_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct queue *q = lua_touserdata(L, 1);
  if (!q || lua_rawlen(L, 1) < sizeof *q ||
      q->object.klass != &lg_queue_class || lua_gc(L, LUA_GCCOUNT) >= 0)
    return 0; /* called by hand */
  lg_queue_count(G, q, -q->store.count);
  q->counted = 0;
  lg_account_leave(q->box);
  q->box = NULL;
  return 0;
}

static int queue_peek(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  struct green_node *put = green_list_head(&q->putters);
  int table;
  lua_settop(L, 1);
  table = lg_queue_table(L, q, 1);
  if (q->store.count > q->reserved)
    lg_store_peek(L, &q->store, table, q->reserved);
  else if (put)
    lua_rawgeti(L, table, lg_queue_key(put));
  else
    lua_pushnil(L);
  return 1;
}

/* close(): refuses further puts; getters drain the queue. Never switches. */
static int queue_close(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  struct lg *G = q->object.G;
  if (q->closed) return 0;
  q->closed = 1;
  q->store.changes++;
  /* Values of these puts stay in the table until their threads withdraw them;
   * getters wait only where there are no values, and learn that none comes. */
  green_wake_all(G->hub, &q->putters, GREEN_CLOSED);
  green_wake_all(G->hub, &q->getters, GREEN_CLOSED);
  assert(!green_list_head(&q->putters) && !green_list_head(&q->getters));
  return 0;
}

/* The program may have called task_done() for some before anybody got them. */
static void done(struct lg *G, struct queue *q, lua_Integer n) {
  q->unfinished -= n < q->unfinished ? n : q->unfinished;
  assert(q->unfinished >= 0);
  if (q->unfinished == 0) green_wake_all(G->hub, &q->joiners, GREEN_WOKEN);
}

/* clear(): drops the values that no getter was promised; returns their number.
 * Never switches. */
static int queue_clear(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  struct lg *G = q->object.G;
  lua_Integer n = q->store.count - q->reserved;
  int table;
  lua_settop(L, 1);
  table = lg_queue_table(L, q, 1);
  lg_store_clear(L, &q->store, table, q->reserved);
  lg_queue_count(G, q, -n);
  done(G, q, n);
  lg_queue_admit(L, G, q, 1, table);
  lua_pushinteger(L, n);
  return 1;
}

static lua_Integer check_room(lua_State *L, int index) {
  lua_Number n;
  if (lua_isnoneornil(L, index)) return -1;
  n = luaL_checknumber(L, index);
  luaL_argcheck(L, n >= 0, index, "limit must not be negative");
  return n >= 9e15 ? -1 : luaL_checkinteger(L, index);
}

/* resize([n]): admits waiting puts if there is more room. */
static int queue_resize(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  struct lg *G = q->object.G;
  lua_settop(L, 2);
  q->limit = check_room(L, 2);
  lg_queue_admit(L, G, q, 1, lg_queue_table(L, q, 1));
  return 0;
}

static int queue_len(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  lua_pushinteger(L, q->store.count - q->reserved);
  return 1;
}

/* waiting(): getters, putters. */
static int queue_waiting(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  lua_pushinteger(L, green_list_length(&q->getters));
  lua_pushinteger(L, green_list_length(&q->putters));
  return 2;
}

static int queue_task_done(lua_State *L) {
  struct queue *q = lg_self_queue(L);
  struct lg *G = q->object.G;
  if (q->unfinished <= 0)
    return luaL_error(L, "task_done called more often than items were put");
  done(G, q, 1);
  return 0;
}

static int join_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct queue *q = object;
  if (q->unfinished > 0) return -1;
  return lg_fetch_true(L, G, q, at, GREEN_WOKEN);
}

static struct green_list *joiners(void *object) {
  return &((struct queue *)object)->joiners;
}

static int queue_join(lua_State *L);

static const struct lg_waitable join_waitable = {
    .op = {{"queue:join", NULL, NULL}, queue_join, lg_one_woken, NULL},
    .attempt = join_attempt,
    .list = joiners,
    .fetch = lg_fetch_true};

/* join([s]): true when each item that was put has been done. May switch. */
static int queue_join(lua_State *L) {
  return lg_wait_one(L, &join_waitable, &lg_queue_class, sizeof(struct queue));
}

/* get without a limit: ignores the control variable of the loop. */
static int queue_next(lua_State *L) {
  lua_settop(L, 1);
  return lg_queue_get(L);
}

/* items(): an iterator until closed and drained. */
static int queue_items(lua_State *L) {
  lg_self_queue(L);
  lua_getfield(L, lua_upvalueindex(2), "__next");
  lua_pushvalue(L, 1);
  return 2;
}

static const luaL_Reg methods[] = {{"put", lg_queue_put},
                                   {"get", lg_queue_get},
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

/* Its metatable is on top, and the queue below it. */
static void begin_count(lua_State *L, struct lg *G, struct queue *q) {
  struct lg_account *box = lg_account_of_box(G);
  lg_account_leave(box); /* the thread's sandbox has it, too */
  if (!box && !G->account.most[LG_ITEMS]) return;
  luaL_checkstack(L, 6, "luagreen");
  lg_with_gc(L, COUNTED, counted_gc);
  q->counted = q->special = 1;
  if ((q->box = box)) box->users++;
}

static struct queue *make(lua_State *L, lua_Integer limit,
                          enum lg_order order) {
  struct lg *G = lg_get(L);
  int values = order == ORDER_PRIORITY ? STORE_VALUES : STORE_TABLE;
  struct queue *q = lua_newuserdatauv(L, sizeof *q, values);
  *q = (struct queue){.object = {&lg_queue_class, G}, .limit = limit};
  q->store.order = order;
  q->store.puts = &q->putters;
  green_list_init(&q->getters);
  green_list_init(&q->putters);
  green_list_init(&q->joiners);
  q->special = order == ORDER_PRIORITY;
  lua_newtable(L);
  lua_setiuservalue(L, -2, STORE_TABLE);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (unlikely(G->boxes || G->account.most[LG_ITEMS])) begin_count(L, G, q);
  lua_setmetatable(L, -2);
  return q;
}

static int l_queue(lua_State *L) {
  make(L, check_room(L, 1), ORDER_FIFO);
  return 1;
}

static int l_channel(lua_State *L) {
  make(L, 0, ORDER_FIFO);
  return 1;
}

static int l_lifo_queue(lua_State *L) {
  make(L, check_room(L, 1), ORDER_LIFO);
  return 1;
}

/* priority_queue([n [, less]]): the least first. */
static int l_priority_queue(lua_State *L) {
  lua_Integer limit = check_room(L, 1);
  struct queue *q;
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) lg_check_callable(L, 2);
  q = make(L, limit, ORDER_PRIORITY);
  q->store.less = !lua_isnil(L, 2);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, STORE_LESS);
  return 1;
}

void lg_open_queue(lua_State *L) {
  static const luaL_Reg make_funcs[] = {
      {"queue", l_queue},           {"channel", l_channel},
      {"lifo_queue", l_lifo_queue}, {"priority_queue", l_priority_queue},
      {"lease_get", lg_lease_get},  {NULL, NULL}};
  lg_new_class(L, lg_queue_class.name, methods, meta);
  lg_setfuncs(L, make_funcs, 1);
}
