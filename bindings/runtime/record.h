/* record.h - the binding's part of a thread's record.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RECORD_H
#define LG_RECORD_H

#include "green_runtime.h"

/* thread->user_flags. */
enum {
  LG_STARTED = 1,    /* lua_resume was called */
  LG_PARKED = 2,     /* it yielded from one of our waits */
  LG_EXPOSED = 4,    /* coroutine.running has returned its coroutine */
  LG_RESETTING = 8,  /* its coroutine is being reset: handlers run */
  LG_RARE = 16,      /* has a table of rare things (rare.c) */
  LG_PASSES_ON = 32, /* has an output or locals that children inherit */
  LG_KEPT = 64,      /* a crew holds the record until its results are read */
  LG_HANDLED = 128   /* has a handle, which stands in its anchor slot */
};
/* Of main and of C's threads, whose user_flags are otherwise the union of those
 * of the states that know it (guest.h): some state does. */
enum { LG_KNOWN = LG_STARTED };

/* The stack of a thread's coroutine starts with a to-be-closed guard, which
 * notices when others close it (coroutine.c), and a copy of its function, which
 * still names the thread after it has run; then come the function and its
 * arguments. In the record, `user` is the coroutine, NULL once the thread is
 * over. user_anchor is the slot that keeps it alive, of the coroutine or of a
 * handle that has it. user_spawner is the id of the thread that spawned it.
 * Once it is over, user_place is the number of the place (site.c) that defines
 * its function. */
enum { LG_TRIPWIRE = 1, LG_BASE = 2 };

/* Is it a thread of Lua's, that is, neither main nor C's? */
static inline int lg_is_lua(const struct green_thread *t) {
  return t->flags & GREEN_RUNTIME;
}

#endif
