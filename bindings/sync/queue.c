/* queue.c - how values pass through queues and channels: get and put.
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
 * Where values are counted (queue_methods.c), a put beyond the limit raises.
 *
 * Green thread or hub; what the core calls for a thread that ended may not use
 * Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "runtime/limits.h"
#include "sync/queue.h"
#include "thread/thread.h"

/* Reasons of a wake-up: comparing the value of a waiting put failed, and the
 * error lies beside the value; a thread that waits for a permit has to look for
 * those that are owed (lease.c). */
enum { PUT_FAILED = GREEN_EXIT + 1, LOOK };

static const struct lg_waitable get_waitable, put_waitable;
const struct lg_class lg_queue_class = {"green.queue", &get_waitable,
                                        &put_waitable};

/* A limit is rare, and one cheap call of Lua's API shows that there is none. */
static uint64_t limit_at(lua_State *L, int index) {
  return lua_gettop(L) < index ? GREEN_FOREVER : lg_limit(L, index);
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
    keys[i++] = lg_queue_key((const struct green_node *)link);
  qsort(keys, *n, sizeof *keys, compare_keys);
  return keys;
}

/* Drops values from the table on top whose threads foreign code has closed.
 * Errors, which have odd keys, stay: they must still be raised. Nothing here
 * raises or runs finalizers: a getter calls this that has its value already. */
void lg_queue_drop_stale(lua_State *L, struct queue *q) {
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

static int may_hold(const struct lg *G, const struct queue *q) {
  return !q->counted || lg_has_room_for(G, q->box, LG_ITEMS, 1);
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
  lua_rawgeti(L, table, lg_queue_key(node));
  status = lg_store_put(L, G, &q->store, at, table);
  if (unlikely(status != LUA_OK)) {
    if (green_list_head(&q->putters) != node) { /* `less` has ended it */
      lua_pop(L, 1);
      return;
    }
    lua_rawseti(L, table, lg_queue_key(node) - 1); /* the error, for its put */
    green_wake_node(G->hub, node, (enum green_reason)PUT_FAILED);
    return;
  }
  lua_pushnil(L); /* the store has the value now */
  lua_rawseti(L, table, lg_queue_key(node));
  q->unfinished++;
  lg_queue_count(G, q, 1);
  green_wake_node(G->hub, node, GREEN_WOKEN);
  offer(G->hub, q);
}

void lg_queue_admit(lua_State *L, struct lg *G, struct queue *q, int at,
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
  int table = lg_queue_table(L, q, at);
  int status = lg_store_take(L, G, &q->store, at, table, skip);
  if (unlikely(status != LUA_OK)) {
    if (q->store.count > q->reserved) offer(G->hub, q);
    return lua_error(L);
  }
  lg_queue_count(G, q, -1);
  if (green_list_head(&q->putters)) lg_queue_admit(L, G, q, at, table);
  return 1;
}

/* A channel's value comes straight from the first waiting put. */
static int take_from_putter(lua_State *L, struct lg *G, struct queue *q,
                            int at) {
  int table = lg_queue_table(L, q, at);
  struct green_node *node = green_list_head(&q->putters);
  lua_rawgeti(L, table, lg_queue_key(node));
  lua_pushnil(L);
  lua_rawseti(L, table, lg_queue_key(node));
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

void lg_lease_look(struct queue *q) {
  green_wake_first(q->object.G->hub, &q->getters, (enum green_reason)LOOK);
}

/* It ends without having looked. */
static void lease_undo(struct green_hub *hub, struct green_thread *t) {
  if (t->reason == (uint8_t)LOOK) lg_lease_look(t->on);
  lg_one_undo(hub, t);
}

static int lease_woken(lua_State *L, struct lg *G, int reason) {
  if (reason != LOOK) return lg_one_woken(L, G, reason);
  lua_pushnil(L);
  lua_pushliteral(L, "owed");
  return 2;
}

#define GET(name, start, undo_wait, woken)                       \
  {                                                              \
    .op = {{name, undo_wait, NULL}, start, woken, NULL},         \
    .attempt = get_attempt, .list = getters, .fetch = get_fetch, \
    .undo = get_undo                                             \
  }
static const struct lg_waitable get_waitable =
    GET("queue:get", lg_queue_get, lg_one_undo, lg_one_woken);
static const struct lg_waitable lease_waitable =
    GET("resource_pool:lease", lg_lease_get, lease_undo, lease_woken);

static inline int get(lua_State *L, const struct lg_waitable *w) {
  struct queue *q = lg_self_queue(L);
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
int lg_queue_get(lua_State *L) {
  return get(L, &get_waitable);
}

int lg_lease_get(lua_State *L) {
  return get(L, &lease_waitable);
}

/* --- put --- */

/* The value of a waiting put lies in the table under its node, until it is
 * taken. */
static inline void leave_value(lua_State *L, struct queue *q, int at,
                               struct green_node *node) {
  lg_queue_table(L, q, at);
  lua_pushvalue(L, at + 1);
  lua_rawseti(L, -2, lg_queue_key(node));
  lua_pop(L, 1);
}

static void deposit(lua_State *L, int at, struct green_node *node) {
  leave_value(L, lua_touserdata(L, at), at, node);
}

static void withdraw(lua_State *L, int at, struct green_node *node) {
  lua_getiuservalue(L, at, STORE_TABLE);
  lua_pushnil(L);
  lua_rawseti(L, -2, lg_queue_key(node));
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
  int table = lg_queue_table(L, q, at);
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
  /* Growing may run finalizers, which may put, close or take: look again. */
  while (!q->closed && goes_in(q) && lg_store_is_full(&q->store)) {
    lg_heap_grow(L, &q->store, at, lg_queue_table(L, q, at));
    lua_pop(L, 1);
  }
  if (q->closed) return lg_push_closed(L);
  if (!goes_in(q)) return -1;
  if (!may_hold(G, q)) return lg_too_many(L, G, q->box, LG_ITEMS);
  store(L, G, q, at);
  lg_queue_count(G, q, 1);
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
  lua_rawgeti(L, -1, lg_queue_key(node) - 1);
  lua_pushnil(L);
  lua_rawseti(L, -3, lg_queue_key(node) - 1);
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
           lg_queue_put,
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
int lg_queue_put(lua_State *L) {
  static const struct lg_op *const op = &put_waitable.op;
  struct queue *q = lg_self_queue(L);
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
