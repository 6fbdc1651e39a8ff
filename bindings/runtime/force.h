/* force.h - forces a kill that a thread swallows or ignores while it computes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_FORCE_H
#define LG_FORCE_H

#include "runtime/state.h"

/* In a blocking call: forces the kill past every handler. Returns where that is
 * impossible, or too early; then the caller raises. */
void lg_force(lua_State *L, struct lg *G);

/* A thread was killed, or the kill is about to be raised in L. */
void lg_watch_thread(struct lg *G, struct green_thread *t);
void lg_watch_killed(lua_State *L, struct lg *G);
/* struct green_runtime's. */
void lg_killed(struct green_hub *hub, struct green_thread *t);
/* A coroutine of the current thread is about to be reset: watches its handlers
 * if the thread is killed. Never raises. */
void lg_watch_reset(struct lg *G, lua_State *co);

/* For class.run: has the thread left its frames, and are the hooks of its
 * coroutine on, so that its handlers may run? */
enum { LG_NOT_LEFT, LG_LEFT, LG_LEFT_IN_HOOK };
int lg_was_left(const struct green_thread *t);

/* For a call from a hook written in C: raises the strike if that is safe there.
 * Otherwise returns 1 if the thread will yield for good when the hook returns,
 * which it must do soon, or 0 if the watch must deal with the thread. */
int lg_strike_in_hook(lua_State *L, struct lg *G);
/* For the same: green_end() was called for the running thread. Ends it here, if
 * that can be; the hook returns at once. */
void lg_end_in_hook(lua_State *L, struct lg *G);

/* Is it a coroutine whose hook is the watch? The second has it look at the next
 * instruction. In a signal handler, too. */
int lg_is_watched(lua_State *L);
void lg_hurry_watch(lua_State *L);

#endif
