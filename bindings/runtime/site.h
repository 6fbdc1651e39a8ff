/* site.h - places in the program, by number, and whose they are.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SITE_H
#define LG_SITE_H

#include "runtime/state.h"

/* 0: unknown. lg_site() raises for want of memory, the others never. */
uint32_t lg_site(lua_State *L, struct lg *G, int level);
uint32_t lg_definition(lua_State *co, struct lg *G);
const char *lg_site_name(struct lg *G, uint32_t site, int *line);
void lg_sites_free(struct lg *G);

/* Is a source one of the library's own Lua modules? May raise. */
int lg_is_ours(lua_State *L, const char *source);
/* Does the function of a hook's record belong to one of them? */
int lg_in_library(lua_State *L, lua_Debug *ar);

#endif
