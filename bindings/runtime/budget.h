/* budget.h - the bytes that a lua_State may have, and has.
 *
 * The allocator of bounds/memory.c keeps these figures; the floors below it
 * only tell when the library itself works, for which there is a reserve.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_BUDGET_H
#define LG_BUDGET_H

#include "runtime/state.h"

struct lg_budget {
  size_t used;            /* bytes now */
  size_t most;            /* at most, until less was used than before */
  size_t memory, reserve; /* the limits; SIZE_MAX: none */
  uint32_t coroutines;    /* that live, those of green threads among them */
  uint32_t working;       /* calls of the library that may take the reserve */
  uint32_t forced;        /* collections at the limit */
  uint32_t failures;      /* allocations refused after one */
  uint8_t ended;          /* it did nothing but collect garbage: its threads
                             are killed, and it spawns no more */
  struct lg *G;           /* NULL: not opened yet, or closed */
  struct green_lua_limits limits; /* as they were set, for its opening */
};

/* From begin to end allocations may take the reserve, too. Between them nothing
 * switches, and no error passes. */
static inline void lg_reserve_begin(const struct lg *G) {
  if (unlikely(G->budget)) G->budget->working++;
}
static inline void lg_reserve_end(const struct lg *G) {
  if (unlikely(G->budget)) {
    assert(G->budget->working > 0);
    G->budget->working--;
  }
}

#endif
