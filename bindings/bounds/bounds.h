/* bounds.h - the functions of this floor, for Lua and for other floors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_BOUNDS_H
#define LG_BOUNDS_H

#include "runtime/state.h"

/* The uses of ticks, each with a time in ns of CPU; 0: off. */
enum lg_tick_use {
  LG_TICK_ALLOC,   /* asked for by lg_tick_soon() alone */
  LG_TICK_PROFILE, /* the time between two samples */
  LG_TICK_WATCHDOG,
  LG_TICK_LONG,
  LG_TICK_END,       /* stretch and life */
  LG_TICK_INTERRUPT, /* has no time */
  LG_TICK_SLICE,
  LG_TICK_PREEMPT,
  LG_TICK_USES
};

/* Both return 0, or the reason why there can be no ticks. Any stack of the
 * hub's OS thread; never raise. */
const char *lg_ticks_set(struct lg *G, enum lg_tick_use use, uint64_t ns);
uint64_t lg_ticks_get(const struct lg *G, enum lg_tick_use use);
/* Makes G->ticks, if need be, without a tick. */
const char *lg_ticks_know(struct lg *G);
/* Ticks that did nothing because the program has a hook of its own. */
uint64_t lg_ticks_skipped(const struct lg *G);
/* Before the hub goes. */
void lg_ticks_off(struct lg *G);

/* watchdog.c: reports threads that hold up all others. set as lg_ticks_set();
 * off before that of the ticks; alert after green_alert(). */
const char *lg_watchdog_set(struct lg *G, uint64_t ns);
void lg_watchdog_off(struct lg *G);
void lg_watchdog_alert(struct green_hub *hub);

/* stuck.c: after a change of the option dump_signal, and when it is off as the
 * state closes. Never fails: without signals for ticks the loop alone writes
 * dumps. */
void lg_stuck_set(struct lg *G);

/* overrun.c: puts the limits of time of *l into force, and into G->limits. 0;
 * or UV_ENOMEM or UV_ENOTSUP and *why, and nothing has changed. lg_terms_off:
 * before the hub goes. */
int lg_terms_set(struct lg *G, const struct green_lua_limits *l,
                 const char **why);
void lg_terms_off(struct lg *G);
/* Has it any, for some threads? */
int lg_has_terms(const struct lg *G);
/* The terms of a sandbox: on, as lg_terms_set(); off, when the sandbox is
 * garbage; and for one more thread of it, which has a limit for its life. */
const char *lg_box_times_on(struct lg *G, struct lg_account *a);
void lg_box_times_off(struct lg *G, struct lg_account *a);
void lg_box_entered(struct lg *G, struct lg_account *a);

/* fuel.c: a coroutine is about to be made in L; the state closes. */
void lg_fuel_coroutine(lua_State *L, struct lg *G);
void lg_fuel_free(struct lg *G);

/* alloc_profile.c: when the state closes. */
void lg_alloc_profile_free(struct lg *G);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_ticks(lua_State *L);
void lg_open_preempt(lua_State *L);
void lg_open_overrun(lua_State *L);
void lg_open_cpu_profile(lua_State *L);
void lg_open_alloc_profile(lua_State *L);
void lg_open_sandbox(lua_State *L);
void lg_open_fuel(lua_State *L);
void lg_open_watchdog(lua_State *L);

#endif
