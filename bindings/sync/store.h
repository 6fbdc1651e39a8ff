/* store.h - keeps the values of a queue, in one of three orders.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_STORE_H
#define LG_STORE_H

#include "runtime/state.h"

enum lg_order { ORDER_FIFO, ORDER_LIFO, ORDER_PRIORITY };

struct lg_entry;

struct lg_store {
  enum lg_order order;
  lua_Integer count; /* values in it */
  lua_Integer room;  /* FIFO: slots of the ring; PRIORITY: of the heap */
  lua_Integer head;  /* FIFO */
  struct lg_entry *heap;
  uint64_t seq, changes; /* PRIORITY */
  lua_Integer odd; /* PRIORITY: values whose comparison may run Lua code */
  int less;        /* PRIORITY: there is a function of the user's */
  struct green_list *puts; /* PRIORITY: the value that waits to enter */
};

/* User values of a queue: the table, and for PRIORITY the heap's memory and
 * the function. `queue` is the stack index of the queue, `table` of the first
 * of them. */
enum { STORE_TABLE = 1, STORE_HEAP, STORE_LESS, STORE_VALUES = STORE_LESS };

/* The rarer parts of the two below. */
void lg_ring_grow(lua_State *L, struct lg_store *s, int table);
void lg_ring_close_gap(lua_State *L, struct lg_store *s, int table,
                       lua_Integer gap);
void lg_heap_grow(lua_State *L, struct lg_store *s, int queue, int table);
int lg_store_put_ordered(lua_State *L, struct lg *G, struct lg_store *s,
                         int queue, int table);
int lg_store_take_ordered(lua_State *L, struct lg *G, struct lg_store *s,
                          int queue, int table);

/* FIFO: the slot of the i-th next value. */
static inline lua_Integer lg_slot(const struct lg_store *s, lua_Integer i) {
  return ((s->head + i) & (s->room - 1)) + 1;
}

/* PRIORITY: does the next put need memory first? */
static inline int lg_store_is_full(const struct lg_store *s) {
  return s->order == ORDER_PRIORITY && s->count == s->room;
}

/* Stores the value on top of the stack and pops it; the store must not be full.
 * Returns LUA_OK, or an error of comparing the value, with the error object in
 * its place. Raises when memory is short. In both cases nothing has changed. */
static inline int lg_store_put(lua_State *L, struct lg *G, struct lg_store *s,
                               int queue, int table) {
  if (unlikely(s->order != ORDER_FIFO))
    return lg_store_put_ordered(L, G, s, queue, table);
  if (unlikely(s->count == s->room)) lg_ring_grow(L, s, table);
  lua_rawseti(L, table, lg_slot(s, s->count));
  s->count++;
  return LUA_OK;
}

/* Takes out the next value and pushes it; in a FIFO it passes over `skip`
 * values first. Returns LUA_OK; or pushes and returns an error, and nothing has
 * changed. */
static inline int lg_store_take(lua_State *L, struct lg *G, struct lg_store *s,
                                int queue, int table, lua_Integer skip) {
  int type;
  if (unlikely(s->order != ORDER_FIFO))
    return lg_store_take_ordered(L, G, s, queue, table);
  type = lua_rawgeti(L, table, lg_slot(s, skip));
  if (unlikely(skip)) lg_ring_close_gap(L, s, table, skip);
  if (skip || type > LUA_TNUMBER) { /* a number keeps nothing alive */
    lua_pushboolean(L, 0);
    lua_rawseti(L, table, lg_slot(s, 0));
  }
  s->head = (s->head + 1) & (s->room - 1);
  s->count--;
  return LUA_OK;
}

/* Pushes the value that would be taken. */
void lg_store_peek(lua_State *L, const struct lg_store *s, int table,
                   lua_Integer skip);
/* Drops all values but `keep`. */
void lg_store_clear(lua_State *L, struct lg_store *s, int table,
                    lua_Integer keep);

#endif
