/* internal.h - shared by the files of core/.
 *
 * Everything lives in struct green_hub, except what belongs to the process
 * (global.c). Functions here run on any stack of the hub's OS thread unless
 * their file says otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_INTERNAL_H
#define GREEN_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "green_runtime.h"

#define green__container(ptr, type, member) \
  ((type *)((char *)(ptr)-offsetof(type, member)))
#define green__likely(x) __builtin_expect(!!(x), 1)
#define green__unlikely(x) __builtin_expect(!!(x), 0)

/* --------------------------------------------------------------- memory -- */

/* memory.c: malloc and friends; a test may make some calls fail. */
void *green__alloc(size_t size); /* zeroed */
void *green__realloc(void *ptr, size_t size);
void green__free(void *ptr);
void *green__map(size_t size); /* pages for stacks, or NULL */
void green__unmap(void *base, size_t size);
void *green__map_aligned(size_t size); /* to its size, a power of two */
/* Bytes that the hubs of the process have from these functions, without stacks.
 * The second adds to that number. */
size_t green__memory(void);
void green__memory_count(long bytes);
/* For tests: the n-th next call of the above fails, once, or `times` times in a
 * row; n <= 0: none does. */
void green__fail_alloc(long n);
void green__fail_allocs(long n, long times);

/* ------------------------------------------------------------- versions -- */

/* versions.c: copies a struct of `known` bytes into the caller's, of `size`. */
void green__give_sized(void *to, size_t size, const void *from, size_t known);
/* The other way. 0, or UV_EINVAL: size is less than `least`, or has fields set
 * beyond `known`. */
int green__take_sized(void *to, size_t known, const void *from, size_t size,
                      size_t least);

/* --------------------------------------------------------------- stderr -- */

/* stderr.c: both return how many bytes the caller need not write again,
 * including those that nobody will ever read. green__stderr_now() never waits
 * and may run in a signal handler. green__stderr_wait() is for OS threads that
 * may wait and block SIGPIPE. */
size_t green__stderr_now(const char *text, size_t length);
size_t green__stderr_wait(const char *text, size_t length);
/* write() without SIGPIPE. */
ssize_t green__write_quietly(int fd, const void *data, size_t size);

/* --------------------------------------------------------------- stacks -- */

/* exceptions.c: the two words of C++; NULL in a program without it. */
struct green__exceptions {
  void *caught;
  unsigned under_way;
};
struct green__exceptions *green__exceptions_here(void);
/* The OS thread's words are those of `to` now. */
struct green__stack;
void green__exceptions_swap(struct green__stack *from,
                            struct green__stack *to);

/* One C stack. The struct lies at the top of its own slot:
 *
 *   slot:  | guard 64 KB | usable ... grows down <-- high | struct | colour |
 *          base            low                              high   base + slot
 *
 * The colour is (index & 63) * 64 bytes, so that the tops of neighbouring
 * stacks do not share cache sets: 36 ns instead of 70 a switch at 1,000. */
struct green__stack {
  void *sp;                   /* context, while switched away */
  uint64_t *canary;           /* words below low, if nothing else guards it */
  void *user;                 /* the runtime's, while a thread is kept */
  void *nested;               /* the runtime's: see green_nested() */
  struct green_thread *owner; /* whom the overflow report names */
  struct green_thread *job;   /* the thread that a worker runs when switched
                                 to */
  struct green__stack *next, *prev; /* among the idle ones, hottest first */
  struct green_hub *hub;
  struct green__slab *slab; /* NULL: a single one */
  char *low, *high;         /* usable bytes [low, high) */
  uint8_t fresh;            /* context must be made before use */
  uint8_t more;             /* a switch has more to do: canary, exceptions */
  uint8_t blank;            /* has nothing that a trim would give back */
  uint32_t valgrind_id;
  void (*entry)(void *stack); /* the function of a fresh context; NULL: OS
                                 stack */
  struct green__stack *came;  /* who jumped here last (AddressSanitizer) */
  struct green__exceptions exceptions; /* while switched away */
  void *asan_fake;                     /* sanitizers' view of the stack */
  void *tsan_fiber;
};

struct green__slab {                  /* 64 stacks in one mmap */
  _Atomic(struct green__slab *) next; /* process-wide list, append-only */
  _Atomic(char *) base;       /* NULL: no memory, the record is spare */
  size_t size, slot;          /* bytes in all, bytes of a slot */
  uint32_t count, used, idle; /* slots; made into stacks; in the pool */
  _Atomic(struct green_hub *) hub;
  uint8_t guard;               /* enum green_guard of its stacks */
  struct green__slab *sibling; /* next of the same hub */
};

struct green__stacks {              /* a hub's stacks */
  struct green__stack *idle;        /* LIFO: the hottest first */
  struct green__stack *last_filled; /* of those with memory to give back */
  struct green__stack *spare; /* for clean-up, when nothing else is left */
  struct green__slab *slabs;  /* newest first */
  size_t size, slot;
  uint32_t total, max; /* without spares */
  uint32_t idle_count, filled;
  uint32_t spares, most_spares;
  uint32_t whole;         /* slabs of which all stacks are idle */
  enum green_guard guard; /* resolved: never AUTO */
};

/* stack.c. Limits come from the options; LUAGREEN_GUARD (madvise, mprotect,
 * canary) overrides the guard. 0 or UV_ENOTSUP. */
int green__stacks_init(struct green_hub *h, const struct green_options *o);
void green__stacks_free(struct green_hub *h, int keep_all);
/* Sets some aside for clean-up. 0 or UV_ENOMEM. */
int green__stacks_spares(struct green_hub *h);
/* Makes sure that the idle pool is not empty. 0 or UV_ENOMEM. Clean-up may go
 * beyond the limit, or take a spare. */
int green__stacks_reserve(struct green_hub *h, int cleans_up);
/* Takes a stack from the idle pool, which must not be empty. Its context is
 * ready to run `entry(stack)`, or is where its worker last stopped. */
struct green__stack *green__stack_take(struct green_hub *h,
                                       void (*entry)(void *stack));
void green__stack_put(struct green_hub *h, struct green__stack *s);
/* The same for a stack whose frames were abandoned: its next use starts afresh.
 */
void green__stack_left(struct green_hub *h, struct green__stack *s);
/* Gives the memory of about `most` idle stacks beyond `keep` back to the
 * system. Returns 1 if there is more to give back. */
int green__stacks_trim(struct green_hub *h, uint32_t keep, uint32_t most);
int green__stacks_surplus(const struct green_hub *h, uint32_t keep);
/* A stack for the hub itself, outside the pool, `size` usable bytes. */
struct green__stack *green__stack_single(struct green_hub *h, size_t size,
                                         void (*entry)(void *stack));
void green__stack_single_free(struct green__stack *s);
size_t green__stack_touched(const struct green__stack *s);
/* Aborts, naming the owner, if the stack's canary was overwritten. */
void green__canary_check(const struct green__stack *s);
static inline void green__stack_check(const struct green__stack *s) {
  if (green__unlikely(s->canary != NULL)) green__canary_check(s);
}
/* Switches stacks, telling the sanitizers; checks the canary. */
void green__jump(struct green__stack *from, struct green__stack *to);
/* Describes the OS stack the caller runs on (sanitizers need it). */
void green__stack_adopt(struct green__stack *s);

/* global.c: the state of the process. */
/* A slab record without memory, listed and owned by h; NULL: no memory. It is
 * spare again once its base and then its hub are NULL. */
struct green__slab *green__global_slab(struct green_hub *h);
/* Takes mprotect guards (1 if granted), or gives them back (take < 0). */
int green__global_guard_budget(int take);
int green__global_forked(void); /* forks without exec since the start */
void green__global_init(void);
/* The number of the running OS thread, from its first hub on; a forked child
 * has another one. initial-exec: the default model of a shared object costs a
 * call of __tls_get_addr(), and the loader has 8 bytes to spare for objects
 * that are opened late, and as many for green_here. */
extern _Thread_local uint64_t green__os_thread
    __attribute__((tls_model("initial-exec")));
/* The slab that holds an address, or NULL. Async-signal-safe. */
struct green__slab *green__global_find(const void *address);
/* Reports on stderr which thread's stack overflowed; `how` ends the line.
 * Async-signal- safe. */
void green__global_report(const struct green__stack *s, const char *how);
/* The stack in slot i of a slab; the address of its struct. */
struct green__stack *green__slab_stack(const struct green__slab *slab,
                                       uint32_t i);
enum { GREEN__GUARD_SIZE = 65536, GREEN__TOP_SIZE = 8192 };

/* --------------------------------------------------------------- timers -- */

struct green__entry { /* 24 bytes, as equal deadlines keep order */
  uint64_t deadline, seq;
  uintptr_t owner; /* green_thread, or green_timer | 1 */
};
struct green__heap {
  struct green__entry *at; /* [1 .. count]; a 4-ary heap */
  uint32_t count, room;
  uint64_t seq;
};
int green__heap_add(struct green_hub *h, uintptr_t owner, uint64_t deadline);
void green__heap_remove(struct green_hub *h, uint32_t slot);
/* Room for some deadlines from the start. 0 or UV_ENOMEM. */
int green__heap_init(struct green_hub *h);
/* The first gives unneeded room back; the second tells whether there is any. */
void green__heap_trim(struct green_hub *h);
int green__heap_surplus(const struct green_hub *h);
/* Fires everything due at `now`. */
void green__timers_fire(struct green_hub *h, uint64_t now);

/* clock.c: as green_time(), but some milliseconds late, and cheap. */
uint64_t green__time_coarse(struct green_hub *h);
/* The same without a clock of the host's: how long something takes. */
uint64_t green__real(struct green_hub *h);
/* Sets h->now and h->real. */
void green__read_clock(struct green_hub *h);
/* The hub's threads are to run: green_now() is its clock from now on, until the
 * second puts back what the first returned. */
struct green_hub *green__clock_enter(struct green_hub *h);
void green__clock_leave(struct green_hub *before);
/* As uv_hrtime(), from what the clock was last read as. */
uint64_t green__stamp(const struct green_hub *h);
/* The frozen clock goes on to just past that time. */
void green__clock_jump(uint64_t deadline);

/* ------------------------------------------------------------------ hub -- */

struct green__cold { /* a thread's rare things, made on first use */
  char *name;
  void *extra; /* the runtime's */
  void *data;  /* the host's */
  int thrown;
  struct green_account account;
  uint64_t left; /* hub's clock when it began to wait; 0: it did not */
  uint64_t
      queued; /* real time when it became ready; 0: it is not, or unknown */
  uint64_t stretch; /* see green_stretch() */
};

struct green__record_slab;

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
struct green__lag {
  uint32_t tick;     /* wakes until the next one that is timed */
  uint32_t most;     /* threads in the ready queue, since it was asked for */
  uint64_t since;    /* when the timed one became ready */
  uint64_t turn;     /* the number of the switch that is its; 0: none is */
  uint64_t sum, max; /* the second: since it was asked for */
  uint64_t count[GREEN__LAGS], told[GREEN__LAGS];
};

struct green__epoll {
  int fd;
  uint32_t tag; /* of the last registration */
  uint8_t open;
  uint8_t stale; /* has a registration that nothing but a new one ends */
};

struct green_hub {
  struct green_hub_hot hot; /* first: green_hot() relies on it */
  uint32_t tick;            /* next() calls until the next look */
  uint32_t step, stride;    /* switches that it will count; from 1 to 32 */
  int32_t left;             /* switches until a poll is due, as last counted */
  struct green__stack *on;  /* the stack in use */
  struct green__stack *left_frames; /* see green_leave_frames() */
  struct green_list ready;
  uint64_t now;       /* the hub's clock as last read */
  uint64_t real;      /* the same, unless the clock is the host's */
  uint64_t last_poll; /* its `real` */
  uint64_t stop_at;   /* its `real` when a step ends; GREEN_FOREVER */
  uint64_t stepped;   /* `switches` when that step began */
  uint64_t host_time; /* the latest that the host's clock told */
  struct green__heap heap;
  struct green_options options;
  struct green__stacks stacks;
  struct green__stack *hub_stack;
  struct green__stack os_stack; /* main's, or the host's */
  struct green_thread *main;    /* NULL unless GREEN_DRIVE_MAIN */
  const struct green_runtime *runtime;
  uv_loop_t *loop;
  uv_loop_t own_loop;
  uv_timer_t timer;     /* not on MAIN drive */
  uv_prepare_t prepare; /* LOOP drive: batches after timers, */
  uv_check_t check;     /* after I/O; on MAIN drive it keeps libuv alive, */
  uv_idle_t idle;       /* and no sleeping while threads are ready */
  uv_poll_t watch;      /* of epoll, in a loop that is not polled by us */
  uv_timer_t trim; /* on another loop than its own, while there is surplus */
  struct green_rest *rest; /* somebody watches, or NULL */
  uint64_t poll_pause;     /* no poll sooner than this after the last */
  uint64_t timer_at;       /* deadline the uv_timer is armed for */
  uint64_t trim_at;        /* when surplus memory is given back */
  uint32_t trim_ms;        /* that long after it was seen */
  uint32_t external, open_handles;
  uint64_t next_id, switches, polls, opened, preempted;
  uint64_t idle_ns;         /* slept in polls, on a loop of its own */
  uint64_t poll_ns;         /* spent in polls that did not wait */
  struct green_list others; /* threads that wait to be the only one */
  struct green_chore *chores, **last_chore; /* calls that are due */
  struct green_thread *drainer;
  /* The threads of no runtime: main and C's; those of the runtime's states; and
   * those that would not end, whose states are gone. */
  struct green_family host, *families, lost;
  struct green__record_slab *record_slabs; /* all */
  struct green__record_slab *spare_slabs;  /* those of no family */
  uint32_t idle_records; /* slabs without a thread, for a trim to give back */
  struct green_fd **fds; /* by descriptor number */
  uint32_t fds_room;
  struct green_fd *dirty_fds; /* tell the kernel before polling */
  struct green__epoll epoll;
  uint32_t armed_fds, fd_waits, refused;
  struct green_list borrowed; /* anybody's descriptors: see borrowed.c */
  uint32_t borrowed_count, unverified;  /* all; still to be looked at */
  uint64_t verified, verified_switches; /* when that was done last */
  struct green_post *posts;             /* the open ones */
  struct green__async *async;           /* wakes the loop for all of them */
  uint32_t async_refs; /* posts and requests that count as external */
  struct green__resolver *resolver;
  struct green__offload *offload;
  struct green__bell *bell;    /* for ports; made by the first one */
  struct green_list awaited;   /* sides of ports at which threads wait */
  struct green_port *laggards; /* ports with places for those in line */
  uint64_t os_thread;          /* green__os_thread of where it was opened */
  int forks;                   /* of the process, at that time */
  uint32_t busy;               /* requests under way in other OS threads */
  uint64_t quiet;              /* see green_clock_freeze() */
  uint64_t shuffle_seed;       /* 0: first come, first served */
  uint64_t went_on;            /* real time when the current thread did */
  struct green__exceptions *exceptions; /* the OS thread's, or NULL */
  void *data;                           /* the host's */
  struct green__lag lag;
  struct green__trace *trace; /* while it is on */
  uint64_t spans;             /* of all traces so far */
  uint32_t ending;            /* the thread whose end is under way, or 0 */
  int source_fd;              /* of GREEN__BY_FD */
  struct green_hooks hooks;   /* the host's */
  void *hooks_arg;
  struct green_thread *from; /* it has left, and is not over */
  void (*waited)(struct green_hub *hub, struct green_thread *thread,
                 uint64_t ns);
  void (*ran)(struct green_hub *hub, struct green_thread *thread, uint64_t ns);
  uint8_t in_batch, own, closing;
  uint8_t uses_libuv;  /* MAIN drive: there may be handles in its loop */
  uint8_t watching;    /* enum green__watching: what each switch tells */
  uint8_t source;      /* enum green__source: what the hub does just now */
  uint8_t ends_matter; /* somebody may wait for the end of all others */
  uint8_t frozen;      /* the clock, by this hub */
  uint8_t keep_all;    /* threads live on: their stacks stay mapped */
};

void green__ready(struct green_hub *h, struct green_thread *t);
/* The first thread became ready outside a batch. */
void green__stay_awake(struct green_hub *h);
void green__leave(struct green_hub *h); /* away from the current stack */
void green__run_batch(struct green_hub *h);
void green__run_chores(struct green_hub *h); /* calls what is due */
/* The next poll is due after `switches` at the latest. */
void green__start_batch(struct green_hub *h, uint32_t switches);
/* Arms the uv_timer for the nearest deadline. */
void green__arm_timer(struct green_hub *h);
/* The caller is on the hub's OS thread, and that has not been forked. */
static inline int green__at_home(const struct green_hub *h) {
  return green__likely(h->os_thread == green__os_thread);
}
/* `slept`: the poll waited for something. */
void green__poll_done(struct green_hub *h, int slept);
/* The next switch looks at the clock, and each one after it too, until they
 * prove to be quick. */
void green__look_soon(struct green_hub *h);
/* The turn of the last ready thread gets a look. */
void green__look_at_last(struct green_hub *h);
int green__hub_stack(struct green_hub *h);
/* afar.c: the hub rests, or goes on, and somebody wants to know. */
void green__tell_rest(struct green_hub *h, int rests);
static inline void green__rests(struct green_hub *h, int rests) {
  if (green__unlikely(h->rest != NULL)) green__tell_rest(h, rests);
}
/* On a thread's stack: wakes those whose time or descriptor has come. */
void green__catch_up(struct green_hub *h);
/* loop.c: its handles, and memory that is not needed any more. */
void green__loop_open(struct green_hub *h);
void green__loop_rest(struct green_hub *h); /* stops them */
void green__loop_close(struct green_hub *h);
void green__tend_surplus(struct green_hub *h);
/* host.c: the handles of a host's loop, or of one for steps. */
int green__host_open(struct green_hub *h);
void green__host_rest(struct green_hub *h); /* stops them */
/* A batch ran outside of the loop's turn: tells the loop what comes next. */
void green__tell_host(struct green_hub *h);
void green__host_close(struct green_hub *h);
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
static inline void green__trace(struct green_hub *h,
                                enum green__event_kind kind, uint64_t thread,
                                int why, uint64_t arg) {
  if (green__unlikely(h->trace != NULL))
    green__trace_put(h, kind, thread, why, arg);
}
/* The same, at that time, and with what the thread waits for. */
void green__trace_left(struct green_hub *h, struct green_thread *t,
                       uint64_t now);
void green__trace_runs(struct green_hub *h, struct green_thread *t,
                       uint64_t now);
void green__trace_ready(struct green_hub *h, struct green_thread *t,
                        uint64_t now);
void green__trace_ended(struct green_hub *h, struct green_thread *t);
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
void green__wait_end(struct green_hub *h, struct green_thread *t);
void green__interrupt(struct green_hub *h, struct green_thread *t);
/* Sets t->pending: might anything strike it? Called after any change. */
void green__pending_update(struct green_hub *h, struct green_thread *t);
void green__thread_end(struct green_hub *h, struct green_thread *t,
                       enum green_state state);
/* A new thread, of C or main. */
struct green_thread *green__thread_new(struct green_family *f);
/* The class of a thread that is not main. */
extern const struct green_class green__c_class;
static inline const struct green_class *green__class(
    const struct green_thread *t) {
  return green_family_of(t)->klass;
}
/* family.c: the hub's own families. */
void green__families_init(struct green_hub *h);
/* A thread of the family has ended, and somebody may wait for that. */
void green__family_ended(struct green_family *f);
struct green__cold *green__cold(struct green_hub *h, struct green_thread *t);
void green__drain_check(struct green_hub *h, struct green_family *f);
/* Is the thread, or the whole hub, being ended? 2: shields are refused. */
static inline int green__draining(const struct green_hub *h,
                                  const struct green_thread *t) {
  int of_family = green_family_of(t)->draining;
  return of_family > h->hot.draining ? of_family : h->hot.draining;
}
int green__enter(struct green_hub *h);
/* Has it passed? Reads the clock only if the hub's last reading does not tell.
 */
static inline int green__passed(struct green_hub *h, uint64_t deadline) {
  if (deadline == GREEN_FOREVER) return 0;
  return deadline <= h->now || deadline <= green_time(h);
}
/* scope.c: the frames on that stack of the thread's were abandoned, with scopes
 * in them. */
void green__scopes_left(struct green_hub *h, struct green_thread *t,
                        const struct green__stack *s);
/* scope.c: may the current thread take from the reserves? */
int green__cleans_up(const struct green_hub *h);
int green__result(struct green_hub *h, int reason);
/* record.c: memory for a record, or NULL; and back. */
struct green_thread *green__record_take(struct green_family *f);
void green__record_put(struct green_hub *h, struct green_thread *t);
void green__records_free(struct green_hub *h);
/* The family is gone: its slabs with threads in them are of the lost ones. */
void green__records_leave(struct green_family *f);
int green__records_surplus(const struct green_hub *h);
/* Gives at most `most` slabs back. Returns 1 if there are more to give back. */
int green__records_trim(struct green_hub *h, uint32_t most);
/* thread.c: frees the record and what it has. */
void green__thread_free(struct green_hub *h, struct green_thread *t);

/* fd.c: tells the kernel what it need not watch any more. */
void green__fds_reconcile(struct green_hub *h);
void green__fds_close_all(struct green_hub *h);
/* The descriptor is ready for these events. 0: the tag is an old one. */
int green__fd_event(struct green_hub *h, int fd, uint32_t tag, int events);
/* Replaces the kernel's list by a new one without stale registrations. */
int green__fds_renew(struct green_hub *h);
/* Is it ready now? 0, UV_ETIMEDOUT or UV_EBADF. */
int green__fd_look(int fd, int event);
/* stream.c: blocks until it is ready. The hub goes on watching it then. */
int green__fd_await(struct green_hub *h, int fd, int event, uint64_t deadline,
                    const struct green_wait_kind *kind);
/* As green__enter(), unless the deadline is 0: then only whether this is the
 * hub's OS thread. */
int green__enter_until(struct green_hub *h, uint64_t deadline);
/* borrowed.c: the first ends the waits for borrowed descriptors that their
 * owners have closed; the second tells when to do that next. */
void green__borrowed_verify(struct green_hub *h);
uint64_t green__borrowed_due(const struct green_hub *h);

/* epoll.c */
enum { GREEN__EVENTS = 1024 }; /* most that one call fetches */
int green__epoll_open(struct green_hub *h);
int green__epoll_renew(struct green_hub *h);
void green__epoll_close(struct green_hub *h);
int green__epoll_add(struct green_hub *h, int fd, uint32_t tag, int events);
int green__epoll_change(struct green_hub *h, int fd, uint32_t tag, int events);
int green__epoll_remove(struct green_hub *h, int fd);
/* Watches the hub's bell, edge-triggered. It is not passed on: the hub that
 * waited calls green__bell_awake(). */
int green__epoll_add_bell(struct green_hub *h, int fd);
/* Sleeps for at most `ms` (-1: no limit) and passes events to
 * green__fd_event(). Returns 1 if libuv has something to do. */
int green__epoll_wait(struct green_hub *h, int ms);
/* Registers that descriptor, or those that libuv has for uv_async_t and
 * signals, with libuv's epoll, since libuv would abort if it failed. 0, or an
 * error. */
int green__libuv_register(uv_loop_t *loop, int fd);
int green__libuv_secure(uv_loop_t *loop);
/* The first checks that the descriptors and the memory for a new loop are
 * there, the second the memory for a watch of that number; libuv would abort
 * without them. 0, or an error. */
int green__libuv_has_room(void);
int green__libuv_has_memory(int fd);

/* bell.c: calls from other OS threads. The hub asks the first before it sleeps:
 * 0 if there are some now. Then it calls the second; and the third in between,
 * while it does not sleep. All are free while there is no bell. */
int green__bell_doze(struct green_hub *h);
void green__bell_awake(struct green_hub *h);
void green__bell_hear(struct green_hub *h);
int green__bell_fd(const struct green_hub *h); /* -1: none */
/* port.c: before a poll, ports tell who waits in line that there is room. */
void green__ports_catch_up(struct green_hub *h);
/* Closes the ports that live on the hub. */
void green__bell_shutdown(struct green_hub *h);
/* Do threads wait in ports, so that another OS thread may wake them? The others
 * put a side of a port into the list of those where threads wait, and back. */
int green__is_awaited(const struct green_hub *h);
void green__await(struct green_hub *h, struct green_link *link);
void green__await_no_more(struct green_link *link);

int green__post_open(struct green_hub *h, struct green_post **post,
                     int counted);
void green__post_busy(struct green_hub *h, int delta);
/* As green_post_send(), but needs no memory: the caller owns the job until it
 * runs or is refused. */
struct green__job {
  struct green__job *next;
  void (*fn)(struct green_hub *hub, void *arg);
  void *arg;
  int made; /* by green_post_send() */
};
int green__post_job(struct green_post *post, struct green__job *job);
void green__resolver_shutdown(struct green_hub *h);
/* Jobs under way get the grace. */
void green__offload_shutdown(struct green_hub *h);
/* hosts.c: does the hosts file have an address of that family for the name?
 * *hosts caches the file and is NULL at first. */
struct green__hosts;
int green__hosts_know(struct green__hosts **hosts, const char *name,
                      int family);
void green__hosts_free(struct green__hosts *hosts);
void green__post_shutdown(struct green_hub *h);
/* Notes a new uv handle of ours, which does not keep the loop alive. */
void green__handle_opened(struct green_hub *h, void *handle);
/* Such a handle was closed; the last one ends green_close(). */
void green__handle_closed(uv_handle_t *handle);

static inline void green__list_add_first(struct green_list *list,
                                         struct green_node *node) {
  struct green_link *first = list->link.next;
  node->link.next = first;
  node->link.prev = &list->link;
  list->link.next = first->prev = &node->link;
}
static inline int green__list_empty(const struct green_list *list) {
  return list->link.next == &list->link;
}

#endif
