/* memory.h - the memory of a lua_State, counted and limited.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_MEMORY_H
#define LG_MEMORY_H

#include "runtime/budget.h"

/* The budget of the state, or NULL. */
struct lg_budget *lg_budget_of(lua_State *L);

/* A new state with the allocator in front of the host's, or NULL. */
lua_State *lg_memory_newstate(const struct green_lua_limits *l,
                              lua_Alloc alloc, void *ud);
/* Puts the allocator in front of that of a state that has another; or NULL. */
struct lg_budget *lg_memory_wrap(lua_State *L);
/* Takes it away again, if it was put there just now. */
void lg_memory_unwrap(lua_State *L, struct lg_budget *b);
/* Sets the limit of memory, and the reserve. */
void lg_memory_limit(struct lg_budget *b, const struct green_lua_limits *l);
/* Can it tell coroutines from other blocks? */
int lg_memory_tells_coroutines(const struct lg_budget *b);

/* The state has a hub from now on; has none any more. */
void lg_budget_open(lua_State *L, struct lg *G);
void lg_budget_close(struct lg *G);
/* Makes it, without limits, if there is none. 0, or UV_ENOMEM. */
int lg_budget_need(lua_State *L, struct lg *G);
/* Raises if there is no room for one more coroutine, garbage apart. */
void lg_check_coroutines(lua_State *L, struct lg *G);

#endif
