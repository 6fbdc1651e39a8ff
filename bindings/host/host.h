/* host.h - the functions of this floor for those above.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_HOST_H
#define LG_HOST_H

#include "runtime/state.h"

/* Once for each state. */
void lg_open_block(lua_State *L);
void lg_open_offload(lua_State *L);

/* The state closes, and its threads were drained: the host is told the end of
 * each script that it does not know yet. */
void lg_scripts_end(struct lg *G);

#endif
