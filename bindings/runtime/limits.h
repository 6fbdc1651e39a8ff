/* limits.h - limits in seconds, and the two ends of a wait that are values.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_LIMITS_H
#define LG_LIMITS_H

#include <lua.h>
#include <stdint.h>

#include "green.h"

/* A limit in seconds at `index`: a deadline; 0: try once. Raises on NaN. */
uint64_t lg_limit(lua_State *L, int index);
/* By the clock of the green thread that runs; by that of a hub, on which no
 * thread need run. */
uint64_t lg_deadline(double seconds);
uint64_t lg_deadline_of(struct green_hub *hub, double seconds);
int lg_push_timeout(lua_State *L); /* nil, "timeout": 2 */
int lg_push_closed(lua_State *L);  /* nil, "closed": 2 */

#endif
