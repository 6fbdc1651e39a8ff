/* dump_signal.h - the signal that asks for a dump.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_DUMP_SIGNAL_H
#define LG_DUMP_SIGNAL_H

#include "runtime/state.h"

/* The option dump_signal. set: the name at the top of the stack, or false;
 * raises if it is neither. get: pushes it. */
void lg_dump_signal_set(lua_State *L, struct lg *G);
void lg_dump_signal_get(lua_State *L, struct lg *G);
/* Before the hub is let go: the signal is as it was. */
void lg_dump_signal_off(struct lg *G);

#endif
