/* force.h - a kill that is swallowed, or computed past, is forced.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_FORCE_H
#define LG_FORCE_H

#include "runtime/state.h"

/* Past every handler. In a blocking call that may yield: does not return; else
 * arms a hook, and the caller raises. */
void lg_force(lua_State *L, struct lg *G);
/* A kill is about to be raised in L. */
void lg_watch_killed(lua_State *L, struct lg *G);
/* The thread's coroutine is about to be reset. Never raises. */
void lg_watch_reset(struct lg *G, struct green_thread *t);

#endif
