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
  int states;                      /* that know of them */
  lua_State *main;                 /* in which the hub's main thread runs */
  struct lg_watchdog *watchdog;    /* while there is one */
  uint64_t uses[LG_TICK_USES];     /* ns of CPU; 0: off */
  uint64_t period;                 /* of the timer; 0: it is off */
  uint64_t least;                  /* the least time that some use waits for */
  int timer, made;
  int signal;
  /* Since which moment of the OS thread's CPU time has the same thread run? A
   * tick sees that only by the number of switches. */
  volatile uint64_t switches, since, now;
  volatile uint64_t since_wall;     /* the same moment, by uv_hrtime() */
  volatile uint64_t armed_switches; /* when it last set a hook, and the CPU */
  volatile uint64_t armed;          /* time at that moment */
  volatile uint64_t skipped;
  /* The run that the watchdog finds too long by real time: its number of
   * switches, plus 1. */
  uint64_t overdue;
};

/* ns of CPU time since the hook was set. Where Lua runs. */
uint64_t lg_tick_delay(const struct lg_ticks *T);
/* Those of a hub, or NULL. */
struct lg_ticks *lg_ticks_of(const struct green_hub *hub);

#endif
