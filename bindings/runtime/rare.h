/* rare.h - things that only few threads have.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RARE_H
#define LG_RARE_H

#include "runtime/state.h"

/* Keys of a thread's table of rare things. If an ended thread had such a table,
 * its outcome is kept there (thread/handle.c). */
enum {
  RARE_KILLED = 1, /* its kill object */
  RARE_REASON,     /* kill's argument */
  RARE_WHERE,      /* where kill was called */
  RARE_THROWN,     /* the value of a throw */
  RARE_TRACEBACK,  /* taken where its error was raised */
  RARE_LINKS,      /* functions that run at its end (thread/links.c) */
  RARE_TIED,       /* handles of threads that are cancelled at its end */
  RARE_CAUSE,      /* {the last error re-raised by a wait, its thread} */
  RARE_OUTPUT,     /* where print goes; inherited */
  RARE_OWNED,      /* its error goes to a pool, a pile or a group */
  RARE_LOCALS,     /* maps objects of green.locals() to their fields */
  RARE_INHERITED,  /* the same for those that children inherit */
  RARE_NAME,       /* the name that it was given */
  RARE_OUTCOME,    /* its outcome; never absent, so that setting it cannot
                      fail */
  RARE_STATS,      /* its figures when it ended, if they were counted */
  RARE_BOX,        /* the sandbox that it is in; inherited */
  RARE_EVENT       /* what sends an event at its end (sync/event.c) */
};

/* The thread's table of rare things: 1 and pushed, or 0 and nothing. */
int lg_rare(lua_State *L, struct lg *G, struct green_thread *t);
/* Pushes it, making it first if need be; may raise. */
void lg_make_rare(lua_State *L, struct lg *G, struct green_thread *t);
/* Pushes a new such table, of no thread yet; makes the one on top that of the
 * thread with this anchor slot, which is to set LG_RARE. May raise; the second
 * runs no finalizers. */
void lg_new_rare(lua_State *L);
void lg_put_rare(lua_State *L, struct lg *G, int slot);
/* Any stack, none of these raises. Pushes the value `key` of the thread's rare
 * things on G->tables and returns its type; pushes them there, or returns 0;
 * the thread has none any more. */
int lg_peek_rare(struct lg *G, struct green_thread *t, int key);
int lg_push_rare(struct lg *G, const struct green_thread *t);
void lg_drop_rare(struct lg *G, struct green_thread *t);
/* The slot has none. */
void lg_take_rare(struct lg *G, int slot);

#endif
