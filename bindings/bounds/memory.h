/* memory.h - the memory of a lua_State, counted and limited.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_MEMORY_H
#define LG_MEMORY_H

#include "runtime/budget.h"

/* The budget of the state, or NULL. */
struct lg_budget *lg_budget_of(lua_State *L);
/* The state has a hub from now on; has none any more. */
void lg_budget_open(lua_State *L, struct lg *G);
void lg_budget_close(struct lg *G);
/* Raises if there is no room for one more coroutine, garbage apart. */
void lg_check_coroutines(lua_State *L, struct lg *G);

#endif
