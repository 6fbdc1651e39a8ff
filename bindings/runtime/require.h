/* require.h - see require.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_REQUIRE_H
#define LG_REQUIRE_H

#include <lua.h>

/* Remembers `require`, when the library is opened. */
void lg_keep_require(lua_State *L);
/* Pushes a module of the library. May raise. */
void lg_require(lua_State *L, const char *module);

#endif
