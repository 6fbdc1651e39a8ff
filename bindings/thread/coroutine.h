/* coroutine.h - the coroutines of green threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COROUTINE_H
#define LG_COROUTINE_H

#include "runtime/state.h"

/* Once for each state. */
void lg_open_coroutine(lua_State *L);
/* The live thread that owns the coroutine, or NULL. Never raises. */
struct green_thread *lg_thread_in(struct lg *G, lua_State *co);

/* Returns a coroutine and its anchor slot, and leaves one more slot free. May
 * raise; it is the last step of a spawn that runs finalizers. */
lua_State *lg_get_coroutine(lua_State *L, struct lg *G, int *slot);

/* None of these raises. Notes why a thread ended as killed: others closed its
 * coroutine. */
void lg_note_closed(struct lg *G, struct green_thread *t);
/* Puts a coroutine that never ran, or is done, and stands alone in that slot,
 * into the pool for the next thread. */
void lg_give_back(struct lg *G, lua_State *co, int slot);
/* The thread's outcome has moved to its handle: the whole coroutine, if it was
 * `taken`. */
void lg_part(struct lg *G, struct green_thread *t, int taken);
/* Nobody can ask for the thread any more: frees its slots. */
void lg_forget(struct lg *G, struct green_thread *t);
/* A crew holds the record, which has no outcome to tell. */
void lg_free_early(struct lg *G, struct green_thread *t);
/* Others know the coroutine, and could call or drop the values on its stack by
 * resuming or closing it. Leaves them a dead one. Not called while they close
 * it. */
void lg_hide_outcome(struct lg *G, struct green_thread *t);

#endif
