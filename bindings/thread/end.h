/* end.h - what happens when a thread has ended.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_END_H
#define LG_END_H

#include "runtime/state.h"

/* The thread has ended and its joiners are woken. Never raises. */
void lg_thread_ended(struct green_hub *hub, struct green_thread *t);
/* The same for a thread of C code that Lua has looked at. */
void lg_guest_ended(struct green_hub *hub, struct green_thread *t);
/* Once for each state: every thread with an extra pointer in its record
 * (green_extra) gives something up at its end. give_up never raises. */
void lg_at_thread_end(struct lg *G,
                      void (*give_up)(struct lg *G, struct green_thread *t));

#endif
