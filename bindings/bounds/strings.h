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
void lg_push_utf8_len(lua_State *L); /* a function */
/* (s, i, j): calls a function of Lua's, upvalue 2, which returns a value for
 * each byte from i to j, if there is room for them. */
int lg_with_room(lua_State *L);

#endif
