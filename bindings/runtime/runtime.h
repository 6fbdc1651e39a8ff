/* runtime.h - the functions of this floor for Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RUNTIME_H
#define LG_RUNTIME_H

#include "runtime/state.h"

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_closing(lua_State *L);
void lg_open_waitable(lua_State *L);
void lg_open_time(lua_State *L);
void lg_open_turns(lua_State *L);

#endif
