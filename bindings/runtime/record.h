/* record.h - what the binding keeps in a thread's record.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RECORD_H
#define LG_RECORD_H

#include "green.h"

/* Is it a thread of Lua's, and neither main nor C's? */
static inline int lg_is_lua(const struct green_thread *t) {
  return t->flags & GREEN_RUNTIME;
}

#endif
