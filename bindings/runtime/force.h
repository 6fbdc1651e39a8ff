/* force.h - a kill that is swallowed, or computed past, is forced.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_FORCE_H
#define LG_FORCE_H

#include "runtime/state.h"

/* In a blocking call: past every handler. Returns where that cannot be, or not
 * yet: the caller raises. */
void lg_force(lua_State *L, struct lg *G);

/* A thread was killed, or the kill is about to be raised in L. */
void lg_watch_thread(struct lg *G, struct green_thread *t);
void lg_watch_killed(lua_State *L, struct lg *G);
/* struct green_runtime's. */
void lg_killed(struct green_hub *hub, struct green_thread *t);
/* A coroutine of the current thread is about to be reset: its handlers are
 * watched if the thread is killed. Never raises. */
void lg_watch_reset(struct lg *G, lua_State *co);

/* The frames of the current thread were left, and class.run is called. Is it
 * so? And may the handlers of its coroutine run? */
enum { LG_NOT_LEFT, LG_LEFT, LG_LEFT_IN_HOOK };
int lg_was_left(const struct green_thread *t);

/* For a call from a hook written in C: raises what strikes if that is safe
 * there; else a thread that may yield does so for good, once the hook returns
 * (1: let it), and any other is left for the watch (0). */
int lg_strike_in_hook(lua_State *L, struct lg *G);

/* Is it a coroutine whose hook is the watch? */
int lg_is_watched(lua_State *L);

#endif
