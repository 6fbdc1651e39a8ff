/* box.h - sandboxes: which threads are in one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_BOX_H
#define LG_BOX_H

#include "runtime/state.h"

/* Is the thread in a sandbox? Never raises. */
int lg_in_box(struct lg *G, struct green_thread *t);

#endif
