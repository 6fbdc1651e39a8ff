/* refusal.h - refuses blocking where it is not possible.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_REFUSAL_H
#define LG_REFUSAL_H

#include <lua.h>

struct lg;

/* The reason why the caller may not block here, for a message; or NULL. */
const char *lg_refusal(lua_State *L, struct lg *G);
/* What a code of the core's means. Of UV_EPERM: where the caller is. */
const char *lg_strerror(struct lg *G, int code);

#endif
