/* list.h - lists that programs pass.
 *
 * These functions never raise, and run none of the program's code.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_LIST_H
#define LG_LIST_H

#include <lua.h>

/* Are items 1 to n, none of which is nil, all of the list at `index`? */
int lg_list_ends_at(lua_State *L, int index, lua_Integer n);

/* The length of the list at `index`, which must be positive. *hole: 0, or the
 * place of the first nil before other items. */
lua_Integer lg_list_length(lua_State *L, int index, lua_Integer *hole);

#endif
