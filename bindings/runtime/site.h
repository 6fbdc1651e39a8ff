/* site.h - places in the program, by number, and whose they are.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SITE_H
#define LG_SITE_H

#include "runtime/state.h"

/* Numbers fit into 16 bits; 0: unknown, or there is no room for one more place.
 * lg_site() raises for want of memory, the others never. Where the library's
 * Lua code was called from, or the code at that level was. */
uint32_t lg_site(lua_State *L, struct lg *G, int level);
/* Where the function is defined that `ar` tells of ("S"). */
uint32_t lg_definition(struct lg *G, lua_Debug *ar);
const char *lg_site_name(struct lg *G, uint32_t site, int *line);
void lg_sites_free(struct lg *G);

/* Is a source one of the library's own Lua modules? May raise. */
int lg_is_ours(lua_State *L, const char *source);
/* Does the function of a hook's record belong to one of them? */
int lg_in_library(lua_State *L, lua_Debug *ar);

#endif
