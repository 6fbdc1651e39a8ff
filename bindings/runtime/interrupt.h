/* interrupt.h - raises the strikes of the current thread.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_INTERRUPT_H
#define LG_INTERRUPT_H

#include "runtime/state.h"

struct lg_op;

/* Has anything struck the current thread since it entered the call? Ask before
 * waiting again: an interruption that arrived after the wake-up woke nobody. */
int lg_is_struck(struct lg *G);
/* Raises the current thread's strike and counts the delivery; returns if there
 * is none. `op`: the operation to go on with if there is none after a lap. */
void lg_interrupt(lua_State *L, struct lg *G, const struct lg_op *op);
/* The same after a core function returned a negative code: raises the
 * interruption that it reported without counting it again, or returns. */
void lg_raise_code(lua_State *L, struct lg *G, int code, const char *what);
/* Main's wait ended because nothing could wake anybody. */
int lg_raise_deadlock(lua_State *L, const struct green_thread *main);

#endif
