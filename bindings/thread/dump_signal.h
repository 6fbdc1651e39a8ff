/* dump_signal.h - the signal that asks for a dump.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_DUMP_SIGNAL_H
#define LG_DUMP_SIGNAL_H

#include "runtime/state.h"

/* The option dump_signal. The first sets it to the value on top of the stack, a
 * name or false, and raises if it is neither; the second pushes it. */
void lg_dump_signal_set(lua_State *L, struct lg *G);
void lg_dump_signal_get(lua_State *L, struct lg *G);
/* Its number; 0: it is off. */
int lg_dump_signal_number(const struct lg *G);
/* Restores the signal, before the hub goes. */
void lg_dump_signal_off(struct lg *G);
/* wants_dump(): in the dump's thread: is its dump needed still? */
int lg_l_wants_dump(lua_State *L);

#endif
