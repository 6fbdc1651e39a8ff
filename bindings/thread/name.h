/* name.h - what a thread is called.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_NAME_H
#define LG_NAME_H

#include "runtime/state.h"

/* Pushes the name of a thread: the one it was given, else where its function
 * is defined. May raise. */
void lg_push_name(lua_State *L, struct lg *G, struct green_thread *t);

/* The number of the place where its function is defined, or 0. Runs finalizers,
 * where that place is new; never raises. */
uint32_t lg_defined(struct lg *G, struct green_thread *t);
/* Its name dies with its Lua stack, which is about to go: fixes it, in the
 * core. Returns the number as above. */
uint32_t lg_keep_name(struct lg *G, struct green_thread *t);
/* The thread has ended, its coroutine is untouched or user_place says where its
 * function is defined: what its handle is to tell of its name, and of its
 * figures, is put where it will find it. Never raises. */
void lg_name_past(struct lg *G, struct green_thread *t);

#endif
