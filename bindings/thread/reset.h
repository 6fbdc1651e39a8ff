/* reset.h - resets the coroutine of a thread that did not end by a return.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_RESET_H
#define LG_RESET_H

#include "runtime/state.h"

/* The error of a thread that yields with nobody to yield to; also its key in
 * the registry. */
extern const char lg_no_yield[];

/* These run on the worker. Each runs the <close> handlers and sets the thread's
 * state. */
void lg_reset_failed(struct lg *G, struct green_thread *t);
void lg_reset_forced(struct lg *G, struct green_thread *t);
void lg_reset_yielded(struct lg *G, struct green_thread *t);
void lg_reset_left(struct lg *G, struct green_thread *t);

#endif
