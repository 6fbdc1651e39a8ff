/* links.h - functions that run when a thread ends.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_LINKS_H
#define LG_LINKS_H

#include "runtime/state.h"

/* Methods of Lua's. */
int lg_thread_link(lua_State *L);
int lg_thread_unlink(lua_State *L);
/* The thread has ended: makes threads of its links, ready to run, and returns
 * their number. Never raises. */
int lg_start_links(struct lg *G, struct green_thread *t);

#endif
