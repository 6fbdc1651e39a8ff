/* coroutine.h - the coroutines of green threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COROUTINE_H
#define LG_COROUTINE_H

#include "runtime/state.h"

/* Once for each state. */
void lg_open_coroutine(lua_State *L);
/* The live thread whose coroutine it is; or NULL. Never raises. */
struct green_thread *lg_thread_in(struct lg *G, lua_State *co);

/* A coroutine and its anchor slot; one more slot is free then. May raise, and
 * is the last that runs finalizers. */
lua_State *lg_get_coroutine(lua_State *L, struct lg *G, int *slot);

/* None of these raises. Why it ended as killed: others closed its coroutine. */
void lg_note_closed(struct lg *G, struct green_thread *t);
/* One that never ran, or is done, alone in that slot, is
 * for the next thread. */
void lg_give_back(struct lg *G, lua_State *co, int slot);
/* The thread's outcome has gone over to its handle, the whole coroutine if it
 * was `taken`. */
void lg_part(struct lg *G, struct green_thread *t, int taken);
/* Nobody asks for the thread any more: its slots are free. */
void lg_forget(struct lg *G, struct green_thread *t);
/* A crew holds the record, which has nothing to tell. */
void lg_free_early(struct lg *G, struct green_thread *t);
/* Others have got the coroutine, and may resume or close it: that would call,
 * or drop, what is on its stack. What they find is a dead one. Not while they
 * close it. */
void lg_hide_outcome(struct lg *G, struct green_thread *t);

#endif
