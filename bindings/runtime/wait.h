/* wait.h - the shape of every blocking function of Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_WAIT_H
#define LG_WAIT_H

#include "runtime/park.h"

/* A blocking function of Lua: see wait.c. */
struct lg_op {
  struct green_wait_kind kind;
  lua_CFunction start; /* the function itself, called again after a lap */
  /* Goes on after the wait: pushes results, or waits again. */
  int (*woken)(lua_State *L, struct lg *G, int reason);
  /* The wait is cut off: leave things in order. May be NULL. */
  void (*interrupted)(lua_State *L, struct lg *G);
};

/* On entry of every call that may switch: raises what strikes, or goes round
 * when the budget is spent. -1: go on; else return the value. What main makes
 * in order to block is made here, as finalizers may run there: afterwards the
 * call looks at what it would wait for, and nothing runs until it waits. */
int lg_enter_slow(lua_State *L, struct lg *G, const struct lg_op *op);
static inline int lg_enter(lua_State *L, struct lg *G,
                           const struct lg_op *op) {
  struct green_hot *hot = green_hot(G->hub);
  if (likely(hot->current && !hot->current->pending && --hot->budget >= 0 &&
             L != G->main))
    return -1;
  return lg_enter_slow(L, G, op);
}

/* After lg_keep_or_yield() and after the wait was begun: parks. The caller's
 * last act: return it. */
int lg_park(lua_State *L, struct lg *G, const struct lg_op *op, int keep);
/* The same, for an object that has a finalizer which ends the wait, and a kind
 * of wait that has no undo: 19 ns less. */
int lg_park_unmarked(lua_State *L, struct lg *G, const struct lg_op *op,
                     int keep);
/* lg_keep_or_yield, green_wait_begin and lg_park in one. */
int lg_wait(lua_State *L, struct lg *G, const struct lg_op *op, void *on,
            struct green_list *list, uint64_t deadline);
/* Round the ready queue once; then op->woken. */
int lg_lap(lua_State *L, struct lg *G, const struct lg_op *op);

#endif
