/* list.h - lists that programs hand over.
 *
 * These raise nothing, and run nothing of the program's.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_LIST_H
#define LG_LIST_H

#include <lua.h>

/* Is that all of the list at `index`, whose items 1 to n are not nil? */
int lg_list_ends_at(lua_State *L, int index, lua_Integer n);

/* The length of the list at `index`, which must be positive. *hole: 0; or the
 * place of the first nil that stands before other items. */
lua_Integer lg_list_length(lua_State *L, int index, lua_Integer *hole);

#endif
