/* sigint.h - Ctrl-C.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SIGINT_H
#define LG_SIGINT_H

#include "runtime/state.h"

/* Takes the signal, the first time that main blocks; gives it back. */
void lg_sigint_install(struct lg *G);
void lg_sigint_restore(struct lg *G);
/* struct green_runtime's: the handler has rung. */
void lg_sigint_alert(struct green_hub *hub);
void lg_open_sigint(lua_State *L);

#endif
