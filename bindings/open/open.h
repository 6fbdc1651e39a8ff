/* open.h - the parts of the entry points.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_OPEN_H
#define LG_OPEN_H

#include "runtime/state.h"

/* state.c: makes the struct lg of a lua_State on a hub (NULL: one of its own);
 * releases its hub. */
struct lg *lg_new_state(lua_State *L, struct green_hub *hub);
void lg_close_hub(lua_State *L, struct lg *G);

/* part.c: package.preload has the Lua part, or the last of package.searchers;
 * a call of C's into it loads it if the program has not. */
void lg_preload_part(lua_State *L);
void lg_search_part(lua_State *L);
void lg_late_policy(lua_State *L);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_config(lua_State *L);
void lg_open_test(lua_State *L);
void lg_open_tools(lua_State *L);

#endif
