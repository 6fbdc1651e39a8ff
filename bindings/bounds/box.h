/* box.h - sandboxes: which threads are in one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_BOX_H
#define LG_BOX_H

#include "runtime/boxed.h"

/* Is the thread in a sandbox? Never raises. */
int lg_in_box(struct lg *G, struct green_thread *t);
/* Adds the functions of this file to the table on top of the stack. */
void lg_open_boxes(lua_State *L);

#endif
