/* strings.h - the libraries of a sandbox, whose calls are bounded.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_STRINGS_H
#define LG_STRINGS_H

#include <lua.h>

/* Each pushes a new table of functions. May raise. */
void lg_push_strings(lua_State *L);
void lg_push_tables(lua_State *L);
/* (s, i, j): a function of Lua's, upvalue 2, which returns a value for each of
 * so many bytes, if there is room. */
int lg_with_room(lua_State *L);

#endif
