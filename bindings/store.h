/* store.h - what a queue keeps its values in, in one of three orders.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_LUA_STORE_H
#define GREEN_LUA_STORE_H

#include "binding.h"

enum green_lua_order { ORDER_FIFO, ORDER_LIFO, ORDER_PRIORITY };

struct green_lua_entry;

struct green_lua_store {
  enum green_lua_order order;
  lua_Integer count; /* values in it */
  lua_Integer room;  /* FIFO: slots of the ring; PRIORITY: of the heap */
  lua_Integer head;  /* FIFO */
  struct green_lua_entry *heap;
  uint64_t seq, changes; /* PRIORITY */
  lua_Integer odd; /* PRIORITY: values whose comparison may run Lua code */
  int less;        /* PRIORITY: there is a function of the user's */
  struct green_list *puts; /* PRIORITY: what waits to come in */
};

/* User values of a queue: the table, and for PRIORITY the heap's memory and
 * the function. `queue` is the stack index of the queue, `table` of the first
 * of them. */
enum { STORE_TABLE = 1, STORE_HEAP, STORE_LESS, STORE_VALUES = STORE_LESS };

/* Takes the value on top of the stack in and pops it. LUA_OK; or an error of
 * comparing it, with the error in the value's place: then nothing has changed.
 * Raises when memory is short, and then, too, nothing has changed. */
int green_lua__store_put(lua_State *L, struct green_lua *G,
                         struct green_lua_store *s, int queue, int table);
/* Takes out the next one, which is pushed; in a FIFO the one after the `skip`
 * next ones. LUA_OK; or an error, pushed, and nothing has changed. */
int green_lua__store_take(lua_State *L, struct green_lua *G,
                          struct green_lua_store *s, int queue, int table,
                          lua_Integer skip);
/* Pushes the one that would be taken. */
void green_lua__store_peek(lua_State *L, const struct green_lua_store *s,
                           int table, lua_Integer skip);
/* Drops all but `keep` of them. */
void green_lua__store_clear(lua_State *L, struct green_lua_store *s, int table,
                            lua_Integer keep);

#endif
