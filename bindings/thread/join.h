/* join.h - waiting for a thread, and reading its outcome.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_JOIN_H
#define LG_JOIN_H

#include "runtime/waitable.h"

/* Does anybody wait for the thread who gets its error? */
int lg_has_waiter(const struct green_thread *t);
/* Lua's methods. await_end joins, but does not count as a destination of the
 * error. */
int lg_thread_wait(lua_State *L);
int lg_thread_join(lua_State *L);
int lg_thread_await_end(lua_State *L);
/* join, among many things. */
extern const struct lg_waitable lg_thread_waitable;

#endif
