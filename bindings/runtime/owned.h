/* owned.h - memory of C's that a Lua object owns.
 *
 * With no memory left, or 200 calls deep in C, Lua up to 5.4 frees an object
 * without its finalizer. What the finalizer was to give back stands in a list
 * of the state, and the state's end gives it back.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_OWNED_H
#define LG_OWNED_H

#include "runtime/state.h"

/* Begins the memory of each. */
struct lg_owned {
  struct lg *G;
  void (*release)(struct lg_owned *o); /* gives back what it refers to */
  size_t size;
  struct lg_owned *after, **before;
};

/* A new one, zeroed, of that size. May raise, and run finalizers. */
void *lg_own(lua_State *L, struct lg *G, size_t size,
             void (*release)(struct lg_owned *o));
/* Releases it, and frees it. NULL: there is none. */
void lg_disown(struct lg_owned *o);
/* The state ends: all that are left. */
void lg_owned_end(struct lg *G);

#endif
