/* end.h - the events after the end of a thread.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_END_H
#define LG_END_H

#include "runtime/state.h"

/* struct green_class's: the thread has ended, and its joiners are not woken
 * yet (does any of them get its error?); they are. Never raise. */
int lg_thread_ending(struct green_hub *hub, struct green_thread *t);
void lg_thread_ended(struct green_hub *hub, struct green_thread *t,
                     int awaited);
/* struct green_runtime's c_ended: both, for a thread of C code. */
void lg_c_ended(struct green_hub *hub, struct green_thread *t);
/* Called once for each state: registers give_up(), which runs at the end of
 * every thread with an extra pointer in its record (green_extra) and never
 * raises. */
void lg_at_thread_end(struct lg *G,
                      void (*give_up)(struct lg *G, struct green_thread *t));

#endif
