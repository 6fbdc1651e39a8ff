/* closing.h - when the threads of a closing state are drained.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_CLOSING_H
#define LG_CLOSING_H

#include "runtime/state.h"

void lg_sentinel_class(lua_State *L);
/* Replaces the sentinel by a younger one, if threads were spawned since. */
void lg_sentinel(lua_State *L, struct lg *G);
/* To be called by every __gc first, with whether the object still stands in a
 * weak-valued table: then the state is closing, and the drain runs now. 0: the
 * program has called it by hand, on an object that lives: it does nothing. */
int lg_finalizing(lua_State *L, struct lg *G, int in_table);
int lg_drain(lua_State *L, struct lg *G);
/* Main leaves by os.exit, as another thread asked for. */
void lg_exit(lua_State *L, struct lg *G);

#endif
