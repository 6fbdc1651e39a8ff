/* sync.h - the functions of this floor, for Lua and for other floors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SYNC_H
#define LG_SYNC_H

#include "runtime/state.h"

/* guard.c: pushes a guard for the object on top of the stack, which it keeps
 * alive. Its __close calls release(L, object). */
void lg_push_guard(lua_State *L, void *object,
                   void (*release)(lua_State *L, void *object));

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_event(lua_State *L);
void lg_open_queue(lua_State *L);
void lg_open_lease(lua_State *L);
void lg_open_select(lua_State *L);
void lg_open_selector(lua_State *L);
void lg_open_flag(lua_State *L);
void lg_open_condition(lua_State *L);
void lg_open_guard(lua_State *L);
void lg_open_semaphore(lua_State *L);
void lg_open_lock(lua_State *L);
void lg_open_waitgroup(lua_State *L);
void lg_open_ticker(lua_State *L);

#endif
