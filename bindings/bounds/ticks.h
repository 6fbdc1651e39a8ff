/* ticks.h - what the ticks of a hub know, and who acts on them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_TICKS_H
#define LG_TICKS_H

#include <signal.h>
#include <stdatomic.h>

#include "bounds/bounds.h"

/* A coroutine may wait between a tick and its hook. */
enum { LG_SAMPLES = 8 };
/* So many ticks without the hook, which fires at the next instruction. */
enum { LG_TICKS_LATE = 3 };

/* Of a dump for which the loop does not turn: stuck.c. */
struct lg_ticks;
struct lg_stuck {
  uint64_t signals; /* that ask for one, as bits */
  int timer, made;
  /* The timer has fired, on the hub's OS thread. */
  void (*fired)(struct lg_ticks *T, struct green_hub *hub);
  /* The hook has, in any code; 1: not now, but soon. */
  lg_tick_act *act;
  /* In the handlers: the signals that have come and have no dump yet, since
   * when, how often the timer has fired since; the hook is to write the dump;
   * the program has another one. */
  volatile uint64_t pending, asked_at;
  volatile int stage, wants, in_the_way;
};

/* One for each hub that has, or had, ticks. The memory is never freed: a signal
 * that is on its way may come late. The handler writes the volatile fields, the
 * rest belongs to the hub's OS thread as well; only `hub` is read by others. */
struct lg_ticks {
  _Atomic(struct green_hub *) hub; /* NULL: nobody's */
  struct lg_watchdog *watchdog;    /* while there is one */
  uint64_t uses[LG_TICK_USES];     /* ns of CPU: the least that a state of the
                                      hub wants (G->tick_ns); 0: off */
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
  uint64_t count, armed_count;      /* of ticks: all, and all at that moment */
  volatile uint64_t due_switches; /* the same, for hooks that are to fire at */
  volatile uint64_t due;          /* the next instruction, whoever's */
  volatile uint64_t skipped;
  volatile int asked; /* a hook that shares is to do it */
  /* The coroutine whose hook waits for the end of the library's code. */
  lua_State *volatile lingers;
  /* The run that the watchdog finds too long by real time: its number of
   * switches, plus 1. */
  uint64_t overdue;
  int tid;       /* of the hub's OS thread, once it can be interrupted; or 0 */
  int interrupt; /* 1 + what green_interrupt() asks for; 0: nothing */
  /* of green_on_long(); and the last run that it was told of */
  void (*on_long)(struct green_hub *hub, struct green_thread *t, uint64_t ns,
                  const char *where, void *arg);
  void *long_arg;
  struct lg *long_of; /* the state that has set it */
  uint64_t long_told;
  /* CPU time that is not sampled yet: since when; in which coroutines a hook is
   * to take a sample, and for how many ns; ns of the hub itself. */
  volatile uint64_t sampled;
  volatile struct {
    const void *what; /* coroutine, or the thread that is not Lua's */
    uint64_t ns;
  } samples[LG_SAMPLES];
  volatile uint64_t hub_ns;
  int next_sample;
  struct lg_stuck stuck;
};
/* Takes the signal for interruptions. 0, or why not. */
const char *lg_ticks_interruptible(struct lg *G);

/* Sets the hook of the coroutine that runs, in the midst of Lua perhaps, and
 * returns that. NULL: none runs, or its hook is the program's. */
lua_State *lg_tick_soon(struct lg *G);
/* ns of CPU time since the hook was set. Async-signal-safe. */
uint64_t lg_tick_delay(const struct lg_ticks *T);
/* Is the code in a call of C? So many ticks have come since the hook was set.
 * Time would not do: a virtual machine that stands still counts that as CPU
 * time of whoever runs, but no ticks come. */
int lg_tick_is_late(const struct lg_ticks *T);
/* For how many ns has a hook been due in the green thread's coroutine that
 * runs? It computes in one instruction or in C. In the midst of Lua, too. */
uint64_t lg_tick_overdue(const struct lg *G);
/* preempt.c: the thread goes to the end of the queue, if it may block; it has
 * run for `ran` ns. 1: not now, but soon. The second: how long it has computed
 * without a wait, through the turns that it was made to give. */
int lg_make_yield(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran);
uint64_t lg_stretch(struct lg *G, struct green_thread *t, uint64_t ran);
/* A standing hook calls the second when it fires, and so does the work of ticks
 * that found it in their way. */
void lg_tick_shares(lua_Hook hook);
void lg_tick_if_asked(lua_State *L, struct lg *G, lua_Debug *ar);
/* The ticks of a hub, or NULL; and the i-th ticks of the process, or NULL.
 * Async-signal-safe, as the following two are. */
struct lg_ticks *lg_ticks_of(const struct green_hub *hub);
struct lg_ticks *lg_ticks_at(int i);
/* In a handler on the hub's OS thread: what runs there gets the hook. */
void lg_tick_arm(struct lg_ticks *T, struct green_hub *hub);
/* To the handler that had the signal before. */
void lg_pass_on(const struct sigaction *former, int number, siginfo_t *info,
                void *context);

#endif
