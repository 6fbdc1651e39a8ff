/* ticks.h - what the ticks of a hub know, and who acts on them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_TICKS_H
#define LG_TICKS_H

#include <stdatomic.h>

#include "bounds/bounds.h"

/* One for each hub that has, or had, ticks. The memory is never freed: a signal
 * that is on its way may come late. The handler writes the volatile fields, the
 * rest belongs to the hub's OS thread as well; only `hub` is read by others. */
struct lg_ticks {
  _Atomic(struct green_hub *) hub; /* NULL: nobody's */
  lua_State *main;                 /* in which the hub's main thread runs */
  uint64_t uses[LG_TICK_USES];     /* ns of CPU; 0: off */
  uint64_t period;                 /* of the timer; 0: it is off */
  uint64_t least;                  /* the least time that some use waits for */
  int timer, made;
  int signal;
  /* Since which moment of the OS thread's CPU time has the same thread run? A
   * tick sees that only by the number of switches. */
  volatile uint64_t switches, since, now;
  volatile uint64_t armed_switches; /* when it last set a hook */
  volatile uint64_t skipped;
};

#endif
