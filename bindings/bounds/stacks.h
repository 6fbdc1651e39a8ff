/* stacks.h - sums by stack, for profiles by samples.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_STACKS_H
#define LG_STACKS_H

#include "runtime/state.h"

/* Profiles are told apart by the addresses of their keys. The first begins one,
 * or empties it; it may raise. The second adds to the stack of the code that
 * runs now, where a hook may; it never raises. The last pushes {stack, sum,
 * ...}, with `rest` for all that no stack was seen for, and ends it. */
void lg_stacks_begin(lua_State *L, const void *key);
void lg_stacks_add(lua_State *L, struct lg *G, const void *key, int by_thread,
                   uint64_t n);
void lg_stacks_end(lua_State *L, const void *key, const char *rest,
                   uint64_t n);

#endif
