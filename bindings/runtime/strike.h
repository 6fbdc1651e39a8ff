/* strike.h - the strikes of a thread, as Lua values.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_STRIKE_H
#define LG_STRIKE_H

#include "runtime/state.h"

/* The code of a throw whose value is in the thread's rare things; libuv does
 * not use it. */
enum { LG_THROWN = GREEN_ETHROWN };

/* The value to raise in the current thread. */
void lg_push_strike(lua_State *L, struct lg *G, enum green_strike strike,
                    struct green_scope *scope);
/* Was it opened by code of this state? Main and C's threads have scopes of
 * others, and of the host's. */
int lg_is_own_scope(struct lg *G, const struct green_scope *scope);
/* The timeout, or the scope of a group. */
void lg_push_scope_object(lua_State *L, struct lg *G,
                          struct green_scope *scope);
/* Takes the value of a throw, whose code the core has returned. */
void lg_push_thrown(lua_State *L, struct lg *G, int code);
/* The first: the kill object of the thread with that id, whose rare things are
 * on top and stay there. The second: that of a live thread. */
void lg_push_kill_object(lua_State *L, uint64_t id);
void lg_push_killed(lua_State *L, struct lg *G, struct green_thread *t);
/* Of any thread? */
int lg_is_kill_object(lua_State *L, int index);
void lg_open_strike(lua_State *L);

#endif
