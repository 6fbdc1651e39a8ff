/* name.h - the names of threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_NAME_H
#define LG_NAME_H

#include "runtime/state.h"

/* Pushes the name of a thread: the one it was given, else the place that
 * defines its function. May raise. */
void lg_push_name(lua_State *L, struct lg *G, struct green_thread *t);

/* Writes the same, cut to the size and without an end; returns the length. Uses
 * no memory of Lua's, runs no finalizers and never raises. */
size_t lg_name_text(struct lg *G, struct green_thread *t, char *text,
                    size_t size);

/* What a message of C's calls it, on one line: in `to`, or as it is. */
enum { LG_CALLED = 200 };
const char *lg_shown_name(const struct green_thread *t, char to[LG_CALLED]);

/* The number of the place that defines its function, or 0. Runs finalizers if
 * that place is new; never raises. */
uint32_t lg_defined(struct lg *G, struct green_thread *t);
/* Copies its name into the core, because the name would die with its Lua stack,
 * which is about to go. Returns the number as above. */
uint32_t lg_keep_name(struct lg *G, struct green_thread *t);
/* The thread has ended, and its coroutine is untouched, or user_place tells the
 * place of its function. Stores its name and its figures for its handle. Never
 * raises. */
void lg_name_past(struct lg *G, struct green_thread *t);

#endif
