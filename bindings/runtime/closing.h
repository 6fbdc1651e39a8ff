/* closing.h - decides when a closing state drains its threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_CLOSING_H
#define LG_CLOSING_H

#include "runtime/state.h"

void lg_sentinel_class(lua_State *L);
/* Replaces the sentinel by a younger one, if threads were spawned since. */
void lg_sentinel(lua_State *L, struct lg *G);
/* Every __gc calls this first and says whether its object still stands in a
 * weak-valued table. If it does, the state is closing, and the drain runs now.
 * 0: the program has called __gc by hand on a live object, so it must do
 * nothing. */
int lg_finalizing(lua_State *L, struct lg *G, int in_table);
int lg_drain(lua_State *L, struct lg *G);
/* Main leaves by os.exit because another thread asked for it. */
void lg_exit(lua_State *L, struct lg *G);
/* The work of os.exit. The code of the first call that closes the state counts:
 * a clean-up that calls it again, for success, does not hide a failure. */
void lg_os_exit(lua_State *L, struct lg *G, int code, int closing);

#endif
