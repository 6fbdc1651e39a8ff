/* owned.h - memory of C's that a Lua object owns.
 *
 * With no memory left, or 200 calls deep in C, Lua up to 5.4 frees an object
 * without its finalizer. What the finalizer was to give back stands in a list
 * of the state, and the state's end gives it back. Locks and selectors, which
 * must go earlier than the rest, have lists of their own.
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

/* A new one in that list of the state, zeroed, of that size. May raise, and run
 * finalizers. */
void *lg_own(lua_State *L, struct lg *G, struct lg_owned **list, size_t size,
             void (*release)(struct lg_owned *o));
/* Releases it, and frees it. NULL: there is none. */
void lg_disown(struct lg_owned *o);
/* Releases and frees all that are left in the list. */
void lg_disown_all(struct lg_owned **list);

#endif
