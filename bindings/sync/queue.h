/* queue.h - a queue, as the files about queues know it: queue.c (how values
 * pass from thread to thread) and queue_methods.c (birth, the methods that do
 * not wait for a value, end).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_QUEUE_H
#define LG_QUEUE_H

#include "runtime/counts.h"
#include "runtime/waitable.h"
#include "sync/store.h"

struct queue {
  struct lg_object object;
  struct green_list getters, putters, joiners;
  lua_Integer limit; /* < 0: none */
  lua_Integer reserved, unfinished;
  struct lg_store store;
  uint8_t closed;
  uint8_t counted;        /* store.count is, in runtime/counts.h */
  uint8_t special;        /* a put has to look closer: PRIORITY, or counted */
  struct lg_account *box; /* of counted values, or NULL */
  /* Puts whose thread ended without running: their values may still lie there.
   * They are looked for when there are as many as there were waiting puts the
   * last time, so that each put pays for a few steps. */
  lua_Integer stale, sparse;
};

/* queue.c */

extern const struct lg_class lg_queue_class;

static inline struct queue *lg_self_queue(lua_State *L) {
  return lg_check_object(L, &lg_queue_class, sizeof(struct queue));
}

/* The slots of the store are positive, and the number of an address is, too. */
static inline lua_Integer lg_queue_key(const struct green_node *node) {
  return -(lua_Integer)(intptr_t)node;
}

/* Drops values from the table on top whose threads foreign code has closed. */
void lg_queue_drop_stale(lua_State *L, struct queue *q);

/* Pushes the table of the queue at that index; its own index. */
static inline int lg_queue_table(lua_State *L, struct queue *q, int at) {
  lua_getiuservalue(L, at, STORE_TABLE);
  if (unlikely(q->stale > q->sparse)) lg_queue_drop_stale(L, q);
  return lua_gettop(L);
}

/* n values more, or fewer, lie in the store. */
static inline void lg_queue_count(struct lg *G, struct queue *q,
                                  lua_Integer n) {
  assert(n >= INT32_MIN && n <= INT32_MAX);
  if (unlikely(q->counted)) lg_count(G, q->box, LG_ITEMS, (int32_t)n);
}

/* Admits waiting puts while there is room; `table` as above. May raise. */
void lg_queue_admit(lua_State *L, struct lg *G, struct queue *q, int at,
                    int table);

/* get([s]) and put(v [, s]). May switch. */
int lg_queue_get(lua_State *L);
int lg_queue_put(lua_State *L);
/* The same as get, for the permits of a resource pool; or nil and "owed": the
 * thread was woken to look. The second wakes the first that waits there; any
 * stack, never raises. */
int lg_lease_get(lua_State *L);
void lg_lease_look(struct queue *q);

#endif
