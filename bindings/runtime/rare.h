/* rare.h - what only few threads have.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RARE_H
#define LG_RARE_H

#include "runtime/state.h"

/* Keys of a thread's table of rare things. */
enum {
  RARE_KILLED = 1, /* its kill object */
  RARE_REASON,     /* kill's argument */
  RARE_WHERE,      /* where kill was called */
  RARE_THROWN,     /* the value of a throw */
  RARE_TRACEBACK,  /* taken where its error was raised */
  RARE_LINKS,      /* anchor slots of the coroutines of its links */
  RARE_TIED,       /* handles of threads that are cancelled at its end */
  RARE_CAUSE,      /* {the last error re-raised by a wait, its thread} */
  RARE_OUTPUT,     /* where print goes; inherited */
  RARE_OWNED,      /* its error belongs to a pool, a pile or a group */
  RARE_LOCALS,     /* from an object of green.locals() to its fields */
  RARE_INHERITED   /* the same for those that children inherit */
};

/* The thread's table of rare things: 1 and pushed, or 0 and nothing. */
int lg_rare(lua_State *L, struct lg *G, struct green_thread *t);
/* Pushes it, making it first if need be; may raise. */
void lg_make_rare(lua_State *L, struct lg *G, struct green_thread *t);
/* Pushes the list `key` of the thread's rare things on G->tables, or nothing
 * (0). */
int lg_push_rare_list(struct lg *G, struct green_thread *t, int key);

#endif
