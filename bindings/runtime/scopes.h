/* scopes.h - timeouts, shields and the scopes of groups, as Lua objects.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SCOPES_H
#define LG_SCOPES_H

#include "runtime/state.h"

/* Drops the scopes that an ended thread left open. Never raises. */
void lg_drop_scopes(struct lg *G, struct green_thread *t);
/* Ends the scope of a group at that index, if it is one. Never raises. */
void lg_scope_end(lua_State *L, int index);
/* The state closes: its scopes leave main and C's threads. */
void lg_scopes_leave(struct lg *G);
void lg_open_scopes(lua_State *L);

#endif
