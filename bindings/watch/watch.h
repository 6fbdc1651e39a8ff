/* watch.h - watching a running program: traces, profiles, figures.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_WATCH_H
#define LG_WATCH_H

#include "runtime/state.h"

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_trace(lua_State *L);
void lg_open_profile(lua_State *L);
void lg_open_figures(lua_State *L);

#endif
