/* site.h - places in the program, by number, and who owns their code.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SITE_H
#define LG_SITE_H

#include "runtime/state.h"

/* Numbers fit into 16 bits; 0: there is no room for one more place. The place
 * of the program, from that level of its stack on: the nearest line of Lua code
 * that is not the library's own, else of the library's; "a C function" if there
 * is none. Raises when memory is short. */
uint32_t lg_site(lua_State *L, struct lg *G, int level);
/* The same as text, of the coroutine `from`; pushed on L. */
void lg_push_where(lua_State *L, lua_State *from, int level);
/* The place that defines the function of `ar` ("S"). Never raises. */
uint32_t lg_definition(struct lg *G, lua_Debug *ar);
/* Pushes "file:line", or the name if there is no line; may raise. */
void lg_push_place(lua_State *L, const char *name, int line);
/* The same of a place by its number, "?" of 0. */
void lg_push_site(lua_State *L, struct lg *G, uint32_t site);
/* The parts of that; *line is 0 where there is no line. */
const char *lg_site_name(struct lg *G, uint32_t site, int *line);
void lg_sites_free(struct lg *G);
/* A name as a part of one line: the text itself, or a copy in `to`, cut to the
 * size, in which control characters are escaped. Any stack. */
const char *lg_one_line(const char *text, char *to, size_t size);

/* Is a source one of the library's own Lua modules? May raise an error. */
int lg_is_ours(lua_State *L, const char *source);
/* Does the function that a hook reports belong to one of these modules? */
int lg_in_library(lua_State *L, lua_Debug *ar);

#endif
