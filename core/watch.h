/* watch.h - what watchers are told of the work of a hub: accounts, the lag,
 * traces.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_WATCH_H
#define GREEN_WATCH_H

#include "green_runtime.h"

/* Who wants to know of each switch. */
enum green__watching {
  GREEN__ACCOUNTS = 1,
  GREEN__TRACES = 2,
  GREEN__HOOKS = 4,
  GREEN__WAITS = 8
};
/* By what the hub wakes threads, while none runs. */
enum green__source {
  GREEN__BY_HOST,
  GREEN__BY_TIMER,
  GREEN__BY_FD,
  GREEN__BY_LIBUV,
  GREEN__BY_POST,
  GREEN__BY_SIGNAL,
  GREEN__BY_THREAD
};

/* How long threads that became ready waited for their turn: see watch.c. */
enum { GREEN__LAGS = 256 };
struct green__lately { /* in a stretch of time */
  uint64_t max;
  uint32_t most; /* threads in the ready queue */
  uint32_t count[GREEN__LAGS];
};
struct green__lag {
  uint32_t tick;  /* wakes until the next one that is timed */
  uint64_t since; /* when the timed one became ready */
  uint64_t turn;  /* the number of the switch that is its; 0: none is */
  uint64_t sum, count[GREEN__LAGS];
  uint64_t began; /* the present stretch; real time */
  struct green__lately now, before;
};

/* account.c: t does not run any more; t will run next. */
void green__account_left(struct green_hub *h, struct green_thread *t,
                         uint64_t now);
void green__account_next(struct green_hub *h, struct green_thread *t,
                         uint64_t now);
void green__account_ready(struct green_hub *h, struct green_thread *t);
/* watch.c: the same, for everybody who watches; and the other events of a
 * thread's life. `now` is real time. */
void green__watch_left(struct green_hub *h, struct green_thread *t,
                       uint64_t now);
void green__watch_next(struct green_hub *h, struct green_thread *t,
                       uint64_t now);
void green__watch_polls(struct green_hub *h); /* the hub has its turn */
/* Returns t: a tail call, for which nothing is saved where nobody watches. */
struct green_thread *green__watch_spawned(struct green_hub *h,
                                          struct green_thread *t);
void green__watch_ready(struct green_hub *h, struct green_thread *t);
void green__watch_ended(struct green_hub *h, struct green_thread *t);
/* Begins or ends that kind of watching. */
void green__watch(struct green_hub *h, enum green__watching kind, int on);
/* Begins another stretch of time for what happened lately, if it is due. */
void green__lag_stretch(struct green_hub *h, uint64_t now);
/* The most threads in the ready queue lately. */
uint32_t green__most_ready(struct green_hub *h);
/* The timed thread has its turn. */
void green__lag_over(struct green_hub *h);

/* trace.c: notes an event, if a trace is on. */
enum green__event_kind {
  GREEN__NOTHING,
  GREEN__SPAWNED, /* arg: the parent's id */
  GREEN__READY,   /* why: source; arg: the waker, or the descriptor; name: the
                     kind of its wait */
  GREEN__RUNS,
  GREEN__LEFT,      /* why: state; name: the kind of its wait; arg: on what */
  GREEN__STRUCK,    /* why: enum green_strike; arg: the thread that did it */
  GREEN__DELIVERED, /* why: enum green_strike */
  GREEN__POLLS,
  GREEN__POLLED, /* why: slept; arg: ready threads, and memory in KB above */
  GREEN__ASKED,  /* arg: the task; why: enum green__task_kind */
  GREEN__ANSWERED,
  GREEN__TEXTS,                /* from here on arg is a struct green__text */
  GREEN__ENDED = GREEN__TEXTS, /* why: state; the name */
  GREEN__MARK,
  GREEN__COUNTER,
  GREEN__SPAN,
  GREEN__SPAN_END,
  GREEN__STACK /* of the thread that has just left */
};
/* What other OS threads do for a hub. */
enum green__task_kind { GREEN__LOOKUP, GREEN__JOB };
void green__trace_put(struct green_hub *h, enum green__event_kind kind,
                      uint64_t thread, int why, uint64_t arg);
/* The same, at that time, and with what the thread waits for. */
void green__trace_left(struct green_hub *h, struct green_thread *t,
                       uint64_t now);
void green__trace_runs(struct green_hub *h, struct green_thread *t,
                       uint64_t now);
void green__trace_ready(struct green_hub *h, struct green_thread *t,
                        uint64_t now);
void green__trace_ended(struct green_hub *h, struct green_thread *t);
/* Writes what a thread without a name is called; returns the length. */
size_t green__trace_title(struct green_hub *h,
                          const struct green_teller *teller,
                          struct green_thread *t, char *text, size_t size);
void green__trace_polled(struct green_hub *h, int slept);
void green__trace_free(struct green_hub *h);

/* 24 bytes: a ring of 64 Ki takes 1.5 MB. */
struct green__event {
  uint64_t ns; /* real time */
  uint64_t arg;
  uint32_t thread; /* its id, modulo; 0: the hub */
  uint8_t kind, why;
  uint16_t name; /* of a wait's kind, 0: none */
};
/* What does not fit into an event: the name of a thread that has ended, or
 * "name":...,"args":... of the program's entries. Counted by the events that
 * refer to it and by the holder of the span. */
struct green__text {
  uint32_t refs, length;
  uint64_t id;         /* of a span, in order of their beginnings */
  uint32_t thread;     /* of a span */
  uint8_t open, early; /* early: its beginning is not in the ring */
  struct green__text *next, **link; /* the early ones that are open */
  char bytes[];
};
struct green__trace {
  struct green__event *at;
  uint64_t count;       /* of events so far; the ring has the last ones */
  uint32_t mask;        /* size - 1 */
  uint64_t began, zero; /* zero: where the picture's time begins */
  const struct green_teller *teller;
  uint64_t only[GREEN_MOST_TRACED];
  int only_count;
  struct green__text *early;
  const struct green_wait_kind *kinds[256]; /* by hash; place + 1 is `name` */
};
/* timeline.c: passes the picture on. 0 or UV_ENOMEM. */
int green__timeline(struct green_hub *h, struct green__trace *trace,
                    void (*put)(void *arg, const char *text, size_t length),
                    void *arg);

#endif
