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
  /* Continues after the wait: pushes results, or waits again. */
  int (*woken)(lua_State *L, struct lg *G, int reason);
  /* Cleans up if the wait is cut off. May be NULL. */
  void (*interrupted)(lua_State *L, struct lg *G);
};

/* Every call that may switch enters here. Raises a strike, or takes a lap when
 * the budget is spent. -1: go on; else return the value. Main makes here what
 * it needs to block, because that may run finalizers. After this the call looks
 * at its object, and nothing else runs until it waits. */
int lg_enter_slow(lua_State *L, struct lg *G, const struct lg_op *op);
static inline int lg_enter(lua_State *L, struct lg *G,
                           const struct lg_op *op) {
  struct green_hub_hot *hot = green_hot(G->hub);
  if (likely(hot->current && !hot->current->pending && --hot->budget >= 0 &&
             L != G->main))
    return -1;
  return lg_enter_slow(L, G, op);
}

/* The same for a call that waits for what happens once, as a signal or the end
 * of a thread, whose error goes to those that wait: it takes a lap only if the
 * budget is overdrawn by more than `debt` calls. */
int lg_enter_first(lua_State *L, struct lg *G, const struct lg_op *op,
                   int debt);
/* Debts: of a call that waits in any case, and of one that may not have to. */
enum { LG_WAITS = INT32_MAX, LG_MAY_WAIT = 8 };

/* Parks, after lg_keep_or_yield() and after the wait was begun. The caller
 * returns its result at once. */
int lg_park(lua_State *L, struct lg *G, const struct lg_op *op, int keep);
/* The same in a function that has no upvalue of ours. */
int lg_park_foreign(lua_State *L, struct lg *G, const struct lg_op *op,
                    int keep);
/* The same for an object whose finalizer ends the wait and for a kind of wait
 * without `undo`: 19 ns less. */
int lg_park_unmarked(lua_State *L, struct lg *G, const struct lg_op *op,
                     int keep);
/* lg_keep_or_yield, green_wait_begin and lg_park in one: nothing but what
 * strikes the thread keeps it from having what it is woken for. */
int lg_wait_surely(lua_State *L, struct lg *G, const struct lg_op *op,
                   void *on, struct green_list *list, uint64_t deadline);
/* The same in 80 bytes less, for an op without `interrupted`: where memory is
 * short, the thread raises as it goes on, and its kind's undo gives back what
 * was handed over. */
int lg_wait(lua_State *L, struct lg *G, const struct lg_op *op, void *on,
            struct green_list *list, uint64_t deadline);
/* Goes round the ready queue once and then calls op->woken. */
int lg_lap(lua_State *L, struct lg *G, const struct lg_op *op);
/* The same for thread t's own coroutine, by the shortest way; op->woken pushes
 * nothing. */
int lg_lap_away(lua_State *L, struct lg *G, const struct lg_op *op);
int lg_lap_over(lua_State *L, struct lg *G, const struct lg_op *op, int r);
static inline int lg_lap_own(lua_State *L, const struct green_thread *t,
                             const struct lg_op *op) {
  struct lg *G = lg_of(t);
  int r;
  assert(t == lg_running(G) && t->user == L);
  if (unlikely(!lg_own_may_block(L, G))) return lg_lap(L, G, op);
  if (!lg_gains(G, t)) return lg_lap_away(L, G, op);
  r = green_lap(G->hub, &op->kind, L);
  if (likely(r == GREEN_WOKEN && !G->exiting)) return 0;
  return lg_lap_over(L, G, op, r);
}

#endif
