/* sigint.h - Ctrl-C.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SIGINT_H
#define LG_SIGINT_H

#include "runtime/state.h"

/* The first takes the signal when main first blocks; the second gives it
 * back. */
void lg_sigint_install(struct lg *G);
/* "interrupted!" was raised in main, by whichever state. */
void lg_sigint_raised(void);
void lg_sigint_restore(struct lg *G);
/* The `alert` of struct green_runtime: the signal handler has run. */
void lg_sigint_alert(struct green_hub *hub);
void lg_open_sigint(lua_State *L);

#endif
