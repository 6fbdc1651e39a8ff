/* queue.c - queues of every order, and channels.
 *
 * Values never move between threads: they lie in the queue's store. A put that
 * finds a getter waiting stores its value and hands the getter a reservation;
 * the getter fetches it when it runs. A put that must wait leaves its value in
 * the queue's table under the address of its node, as a number, which Lua finds
 * faster. So a getter can take it before the putter runs:
 *
 *   store.count   values in the store, reserved ones included
 *   reserved      values that woken getters will fetch
 *
 * so a newcomer may take one exactly when count > reserved, and service is
 * first come, first served. A queue of limit 0 is a channel: a value enters the
 * store only for a getter that waits.
 *
 * Where the state, or the maker's sandbox, has a limit for the values in its
 * queues, they are counted (runtime/counts.h), and only then has a queue a
 * finalizer: a put beyond that limit raises.
 *
 *   counted   store.count is counted
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "runtime/counts.h"
#include "runtime/limits.h"
#include "runtime/waitable.h"
#include "sync/store.h"
#include "sync/sync.h"
#include "thread/thread.h"

struct queue {
  struct lg_object object;
  struct green_list getters, putters, joiners;
  lua_Integer limit; /* < 0: none */
  lua_Integer reserved, unfinished;
  struct lg_store store;
  uint8_t closed;
  uint8_t counted;
  uint8_t special;        /* a put has to look closer: PRIORITY, or counted */
  struct lg_account *box; /* of counted values, or NULL */
  /* Puts whose thread ended without running: their values may still lie there.
   * They are looked for when there are as many as there were waiting puts the
   * last time, so that each put pays for a few steps. */
  lua_Integer stale, sparse;
};

/* The reason of a wake-up: comparing the value of a waiting put failed. The
 * error lies beside the value. */
enum { PUT_FAILED = GREEN_EXIT + 1 };

static const struct lg_waitable get_waitable, put_waitable;
static const struct lg_class queue_class = {"green.queue", &get_waitable,
                                            &put_waitable};

static int queue_get(lua_State *L);
static int queue_put(lua_State *L);
static int queue_join(lua_State *L);

static struct queue *self(lua_State *L) {
  return lg_check_object(L, &queue_class, sizeof(struct queue));
}

/* A limit is rare, and one cheap call of Lua's API shows that there is none. */
static uint64_t limit_at(lua_State *L, int index) {
  return lua_gettop(L) < index ? GREEN_FOREVER : lg_limit(L, index);
}

/* The slots of the store are positive, and the number of an address is, too. */
static lua_Integer key_of(const struct green_node *node) {
  return -(lua_Integer)(intptr_t)node;
}

static int compare_keys(const void *a, const void *b) {
  lua_Integer x = *(const lua_Integer *)a, y = *(const lua_Integer *)b;
  return (x > y) - (x < y);
}

/* The keys of all waiting puts, sorted; *n: how many. NULL: no memory. */
static lua_Integer *waiting_keys(const struct queue *q, size_t *n) {
  const struct green_link *link = q->putters.link.next;
  lua_Integer *keys;
  size_t i = 0;
  for (*n = 0; link != &q->putters.link; link = link->next) ++*n;
  if (!(keys = malloc((*n + 1) * sizeof *keys))) return NULL;
  for (link = q->putters.link.next; i < *n; link = link->next)
    keys[i++] = key_of((const struct green_node *)link);
  qsort(keys, *n, sizeof *keys, compare_keys);
  return keys;
}

/* Drops values from the table on top whose threads foreign code has closed.
 * Errors, which have odd keys, stay: they must still be raised. Nothing here
 * raises or runs finalizers: a getter calls this that has its value already. */
static void drop_stale(lua_State *L, struct queue *q) {
  size_t n;
  lua_Integer *keys = lua_checkstack(L, 4) ? waiting_keys(q, &n) : NULL;
  if (!keys) return; /* the next call tries again */
  q->stale = 0;
  q->sparse = (lua_Integer)n;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_Integer key = lua_tointeger(L, -2);
    lua_pop(L, 1);
    if (key < 0 && key % 2 == 0 &&
        !bsearch(&key, keys, n, sizeof key, compare_keys)) {
      lua_pushnil(L);
      lua_rawseti(L, -3, key);
    }
  }
  free(keys);
}

static inline int table_of(lua_State *L, struct queue *q, int at) {
  lua_getiuservalue(L, at, STORE_TABLE);
  if (unlikely(q->stale > q->sparse)) drop_stale(L, q);
  return lua_gettop(L);
}

/* --- counted values --- */

static const char COUNTED[] = "queues that are counted"; /* their metatable */

static inline void count(struct lg *G, struct queue *q, lua_Integer n) {
  assert(n >= INT32_MIN && n <= INT32_MAX);
  if (unlikely(q->counted)) lg_count(G, q->box, LG_ITEMS, (int32_t)n);
}

static int may_hold(const struct lg *G, const struct queue *q) {
  return !q->counted || lg_has_room_for(G, q->box, LG_ITEMS, 1);
}

static int counted_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct queue *q = lua_touserdata(L, 1);
  if (!q || lua_rawlen(L, 1) < sizeof *q || q->object.klass != &queue_class ||
      lua_gc(L, LUA_GCCOUNT) >= 0)
    return 0; /* called by hand */
  count(G, q, -q->store.count);
  q->counted = 0;
  lg_account_leave(q->box);
  q->box = NULL;
  return 0;
}

/* --- hand-over --- */

/* A value has come: wakes a getter for it, if one waits. */
static void offer(struct green_hub *hub, struct queue *q) {
  assert(q->store.count > q->reserved);
  if (green_wake_first(hub, &q->getters, GREEN_WOKEN)) q->reserved++;
}

static int has_room(const struct queue *q) {
  return q->limit < 0 || q->store.count - q->reserved < q->limit;
}

/* Moves the value of the first waiting put into the store and lets the put go
 * on. If it no longer waits after comparing its value, that has failed, and its
 * thread takes care of the value. */
static void admit(lua_State *L, struct lg *G, struct queue *q, int at,
                  int table) {
  struct green_node *node = green_list_head(&q->putters);
  int status;
  assert(node && has_room(q));
  lua_rawgeti(L, table, key_of(node));
  status = lg_store_put(L, G, &q->store, at, table);
  if (unlikely(status != LUA_OK)) {
    if (green_list_head(&q->putters) != node) {
      lua_pop(L, 1);
      return;
    }
    lua_rawseti(L, table, key_of(node) - 1);
    green_wake_node(G->hub, node, (enum green_reason)PUT_FAILED);
    return;
  }
  lua_pushnil(L);
  lua_rawseti(L, table, key_of(node));
  q->unfinished++;
  count(G, q, 1);
  green_wake_node(G->hub, node, GREEN_WOKEN);
  offer(G->hub, q);
}

static void admit_all(lua_State *L, struct lg *G, struct queue *q, int at,
                      int table) {
  while (green_list_head(&q->putters) && has_room(q) && may_hold(G, q)) {
    if (unlikely(lg_store_is_full(&q->store)))
      lg_heap_grow(L, &q->store, at, table); /* then look again */
    else
      admit(L, G, q, at, table);
  }
}

/* A getter that was handed a value ends without having run. */
static void get_undo(struct green_hub *hub, void *object) {
  struct queue *q = object;
  assert(q->reserved > 0);
  q->reserved--;
  offer(hub, q); /* it goes to the next in line, or stays */
}

/* --- get --- */

/* The first `skip` values are promised to getters that were woken but have not
 * run. If comparing fails, the value stays for the next waiter. */
static int take(lua_State *L, struct lg *G, struct queue *q, int at,
                lua_Integer skip) {
  int table = table_of(L, q, at);
  int status = lg_store_take(L, G, &q->store, at, table, skip);
  if (unlikely(status != LUA_OK)) {
    if (q->store.count > q->reserved) offer(G->hub, q);
    return lua_error(L);
  }
  count(G, q, -1);
  if (green_list_head(&q->putters)) admit_all(L, G, q, at, table);
  return 1;
}

/* A channel's value comes straight from the first waiting put. */
static int take_from_putter(lua_State *L, struct lg *G, struct queue *q,
                            int at) {
  int table = table_of(L, q, at);
  struct green_node *node = green_list_head(&q->putters);
  lua_rawgeti(L, table, key_of(node));
  lua_pushnil(L);
  lua_rawseti(L, table, key_of(node));
  q->unfinished++;
  green_wake_node(G->hub, node, GREEN_WOKEN);
  return 1;
}

static inline int get_attempt(lua_State *L, struct lg *G, void *object,
                              int at) {
  struct queue *q = object;
  if (q->store.count > q->reserved) return take(L, G, q, at, q->reserved);
  if (green_list_head(&q->putters)) return take_from_putter(L, G, q, at);
  return q->closed ? lg_push_closed(L) : -1;
}

static int get_fetch(lua_State *L, struct lg *G, void *object, int at,
                     int reason) {
  struct queue *q = object;
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  assert(q->reserved > 0 && q->store.count >= q->reserved);
  q->reserved--;
  return take(L, G, q, at, 0);
}

static struct green_list *getters(void *object) {
  return &((struct queue *)object)->getters;
}

/* The same wait, under the names of Lua objects that are built of queues. */
static int lease_get(lua_State *L);
static int result_get(lua_State *L);

#define GET(name, start)                                          \
  {                                                               \
    .op = {{name, lg_one_undo, NULL}, start, lg_one_woken, NULL}, \
    .attempt = get_attempt, .list = getters, .fetch = get_fetch,  \
    .undo = get_undo                                              \
  }
static const struct lg_waitable get_waitable = GET("queue:get", queue_get);
static const struct lg_waitable lease_waitable =
    GET("resource_pool:lease", lease_get);
static const struct lg_waitable result_waitable = GET("dag:wait", result_get);

static inline int get(lua_State *L, const struct lg_waitable *w) {
  struct queue *q = self(L);
  struct lg *G = q->object.G;
  uint64_t deadline = limit_at(L, 2);
  int r;
  if (deadline > 0 && (r = lg_enter(L, G, &w->op)) >= 0) return r;
  if ((r = get_attempt(L, G, q, 1)) >= 0) return r;
  if (deadline == 0) return lg_push_timeout(L);
  lua_settop(L, 2);
  return lg_wait(L, G, &w->op, q, &q->getters, deadline);
}

/* get([s]): the next value. May switch. */
static int queue_get(lua_State *L) {
  return get(L, &get_waitable);
}

static int lease_get(lua_State *L) {
  return get(L, &lease_waitable);
}

static int result_get(lua_State *L) {
  return get(L, &result_waitable);
}

/* --- put --- */

/* The value of a waiting put lies in the table under its node, until it is
 * taken. */
static inline void leave_value(lua_State *L, struct queue *q, int at,
                               struct green_node *node) {
  table_of(L, q, at);
  lua_pushvalue(L, at + 1);
  lua_rawseti(L, -2, key_of(node));
  lua_pop(L, 1);
}

static void deposit(lua_State *L, int at, struct green_node *node) {
  leave_value(L, lua_touserdata(L, at), at, node);
}

static void withdraw(lua_State *L, int at, struct green_node *node) {
  lua_getiuservalue(L, at, STORE_TABLE);
  lua_pushnil(L);
  lua_rawseti(L, -2, key_of(node));
  lua_pop(L, 1);
}

/* Its thread ends without having run. This function may not use Lua. */
static void abandon(void *object) {
  ((struct queue *)object)->stale++;
}

static void put_undo(struct green_hub *hub, struct green_thread *t) {
  (void)hub;
  abandon(t->on);
}

static int store(lua_State *L, struct lg *G, struct queue *q, int at) {
  int table = table_of(L, q, at);
  lua_pushvalue(L, at + 1);
  if (lg_store_put(L, G, &q->store, at, table) != LUA_OK) return lua_error(L);
  q->unfinished++;
  if (green_list_head(&q->getters)) offer(G->hub, q);
  lua_pushboolean(L, 1);
  return 1;
}

/* A select numbers its cases, not its arguments. */
static void refuse_nan(lua_State *L, const struct queue *q, int at) {
  static const char message[] =
      "NaN has no place in the order of a priority queue";
  lua_Number v = lua_tonumber(L, at + 1);
  if (q->store.less || v == v) return;
  if (at == 1) luaL_argerror(L, at + 1, message);
  luaL_error(L, message);
}

static inline int goes_in(struct queue *q) {
  return green_list_head(&q->getters) ||
         (has_room(q) && !green_list_head(&q->putters));
}

static int put_special(lua_State *L, struct lg *G, struct queue *q, int at) {
  if (q->store.order == ORDER_PRIORITY) refuse_nan(L, q, at);
  if (!q->closed && goes_in(q) && !may_hold(G, q)) lg_sweep(L, G);
  while (!q->closed && goes_in(q) && lg_store_is_full(&q->store)) {
    lg_heap_grow(L, &q->store, at, table_of(L, q, at));
    lua_pop(L, 1);
  }
  if (q->closed) return lg_push_closed(L);
  if (!goes_in(q)) return -1;
  if (!may_hold(G, q)) return lg_too_many(L, G, q->box, LG_ITEMS);
  store(L, G, q, at);
  count(G, q, 1);
  return 1;
}

static inline int put_attempt(lua_State *L, struct lg *G, void *object,
                              int at) {
  struct queue *q = object;
  if (unlikely(q->special)) return put_special(L, G, q, at);
  if (q->closed) return lg_push_closed(L);
  return goes_in(q) ? store(L, G, q, at) : -1;
}

/* Pushes the error from comparing the value of this put. */
static int put_failed(lua_State *L, int at, struct green_node *node) {
  lua_getiuservalue(L, at, STORE_TABLE);
  lua_rawgeti(L, -1, key_of(node) - 1);
  lua_pushnil(L);
  lua_rawseti(L, -3, key_of(node) - 1);
  withdraw(L, at, node);
  return lua_error(L);
}

static int put_fetch(lua_State *L, struct lg *G, void *object, int at,
                     int reason) {
  (void)G, (void)object, (void)at;
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  lua_pushboolean(L, 1);
  return 1;
}

static struct green_list *putters(void *object) {
  return &((struct queue *)object)->putters;
}

static int put_woken(lua_State *L, struct lg *G, int reason) {
  struct green_node *node = &lg_running(G)->node;
  if (likely(reason == GREEN_WOKEN)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (reason == PUT_FAILED) return put_failed(L, 1, node);
  withdraw(L, 1, node);
  return reason == GREEN_TIMEOUT ? lg_push_timeout(L) : lg_push_closed(L);
}

static void put_interrupted(lua_State *L, struct lg *G) {
  withdraw(L, 1, &lg_running(G)->node);
}

static const struct lg_waitable put_waitable = {
    .op = {{"queue:put", put_undo, NULL},
           queue_put,
           put_woken,
           put_interrupted},
    .attempt = put_attempt,
    .list = putters,
    .fetch = put_fetch,
    .deposit = deposit,
    .withdraw = withdraw,
    .abandon = abandon,
    .failed = put_failed};

/* put(v [, s]): true. May switch, even without a limit: a producer that never
 * waits takes a lap when its budget is spent. */
static int queue_put(lua_State *L) {
  static const struct lg_op *const op = &put_waitable.op;
  struct queue *q = self(L);
  struct lg *G = q->object.G;
  uint64_t deadline = limit_at(L, 3);
  int keep, r;
  if (unlikely(lua_type(L, 2) <= LUA_TNIL))
    return luaL_argerror(L, 2, "value expected, got nil");
  if (deadline > 0 && (r = lg_enter(L, G, op)) >= 0) return r;
  if ((r = put_attempt(L, G, q, 1)) >= 0) return r;
  if (deadline == 0) return lg_push_timeout(L);
  lua_settop(L, 3);
  keep = lg_keep_or_yield(L, G, op);
  leave_value(L, q, 1, &lg_running(G)->node);
  r = green_wait_begin(G->hub, &op->kind, q, &q->putters, deadline);
  if (r < 0) {
    put_interrupted(L, G);
    return luaL_error(L, "'queue:put': %s", green_strerror(r));
  }
  return lg_park(L, G, op, keep);
}

/* --- the rest --- */

static int queue_peek(lua_State *L) {
  struct queue *q = self(L);
  struct green_node *put = green_list_head(&q->putters);
  int table;
  lua_settop(L, 1);
  table = table_of(L, q, 1);
  if (q->store.count > q->reserved)
    lg_store_peek(L, &q->store, table, q->reserved);
  else if (put)
    lua_rawgeti(L, table, key_of(put));
  else
    lua_pushnil(L);
  return 1;
}

/* close(): refuses further puts; getters drain the queue. Never switches. */
static int queue_close(lua_State *L) {
  struct queue *q = self(L);
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
  struct queue *q = self(L);
  struct lg *G = q->object.G;
  lua_Integer n = q->store.count - q->reserved;
  int table;
  lua_settop(L, 1);
  table = table_of(L, q, 1);
  lg_store_clear(L, &q->store, table, q->reserved);
  count(G, q, -n);
  done(G, q, n);
  admit_all(L, G, q, 1, table);
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
  struct lg *G = q->object.G;
  lua_settop(L, 2);
  q->limit = limit_arg(L, 2);
  admit_all(L, G, q, 1, table_of(L, q, 1));
  return 0;
}

static int queue_len(lua_State *L) {
  struct queue *q = self(L);
  lua_pushinteger(L, q->store.count - q->reserved);
  return 1;
}

/* waiting(): getters, putters. */
static int queue_waiting(lua_State *L) {
  struct queue *q = self(L);
  lua_pushinteger(L, green_list_length(&q->getters));
  lua_pushinteger(L, green_list_length(&q->putters));
  return 2;
}

static int queue_task_done(lua_State *L) {
  struct queue *q = self(L);
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

static const struct lg_waitable join_waitable = {
    .op = {{"queue:join", NULL, NULL}, queue_join, lg_one_woken, NULL},
    .attempt = join_attempt,
    .list = joiners,
    .fetch = lg_fetch_true};

/* join([s]): true when each item that was put has been done. May switch. */
static int queue_join(lua_State *L) {
  return lg_wait_one(L, &join_waitable, &queue_class, sizeof(struct queue));
}

/* get without a limit: ignores the control variable of the loop. */
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
  *q = (struct queue){.object = {&queue_class, G}, .limit = limit};
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
  make(L, limit_arg(L, 1), ORDER_FIFO);
  return 1;
}

static int l_channel(lua_State *L) {
  make(L, 0, ORDER_FIFO);
  return 1;
}

static int l_lifo_queue(lua_State *L) {
  make(L, limit_arg(L, 1), ORDER_LIFO);
  return 1;
}

/* priority_queue([n [, less]]): the least first. */
static int l_priority_queue(lua_State *L) {
  lua_Integer limit = limit_arg(L, 1);
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
  static const luaL_Reg make_funcs[] = {{"queue", l_queue},
                                        {"channel", l_channel},
                                        {"lifo_queue", l_lifo_queue},
                                        {"priority_queue", l_priority_queue},
                                        {"lease_get", lease_get},
                                        {"result_get", result_get},
                                        {NULL, NULL}};
  lg_new_class(L, queue_class.name, methods, meta);
  lg_setfuncs(L, make_funcs, 1);
}
