/* internal.h - shared by the files of core/.
 *
 * Everything lives in struct green_hub, except what belongs to the process
 * (global.c). stack.h, watch.h and epoll.h have parts of it by value, and say
 * what their files do; a file includes this one. Functions here run on any
 * stack of the hub's OS thread unless their file says otherwise.
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

/* Its parts; they use the macros above. */
#include "epoll.h"
#include "stack.h"
#include "watch.h"

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

/* --------------------------------------------------------------- timers -- */

struct green__grace;
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
/* The same two without a clock of the host's: how long something takes. */
uint64_t green__real(struct green_hub *h);
uint64_t green__real_coarse(struct green_hub *h);
/* Sets h->now and h->real. */
void green__read_clock(struct green_hub *h);
/* The hub's threads are to run: green_now() is its clock from now on, until the
 * second puts back what the first returned. */
struct green_hub *green__clock_enter(struct green_hub *h);
void green__clock_leave(struct green_hub *before);
/* The time of uv_hrtime() when the clock was last read. */
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

struct green_hub {
  struct green_hub_hot hot; /* first: green_hot() relies on it */
  uint32_t tick;            /* next() calls until the next look */
  uint32_t step, stride;    /* switches that it will count; from 1 to 32 */
  int32_t left;             /* switches until a poll is due, as last counted */
  int32_t calls, most_calls; /* that need not wait, of a turn: see budget.c */
  struct green__stack *on;   /* the stack in use */
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
  char *os_top;                 /* its address where the hub was opened */
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
  struct green__grace *graces; /* by real time, beside a clock of the host's */
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
  uint32_t measurers;         /* who want the accounts for a while */
  uint32_t ending;            /* the thread whose end is under way, or 0 */
  int source_fd;              /* of GREEN__BY_FD */
  struct green_hooks hooks;   /* the host's */
  void *hooks_arg;
  struct green_thread *from; /* it has left, and is not over */
  void (*waited)(struct green_hub *hub, struct green_thread *thread,
                 uint64_t ns);
  void (*ran)(struct green_hub *hub, struct green_thread *thread, uint64_t ns);
  uint8_t in_batch, own, closing;
  uint8_t deaf;        /* the host's loop was refused the hub's epoll */
  uint8_t uses_libuv;  /* MAIN drive: there may be handles in its loop */
  uint8_t accounts;    /* the host or the program wants them */
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
/* Has the host closed the hub's handles in its loop? */
int green__is_unplugged(struct green_hub *h);
void green__host_close(struct green_hub *h);
/* trace.c: notes an event, if a trace is on. */
static inline void green__trace(struct green_hub *h,
                                enum green__event_kind kind, uint64_t thread,
                                int why, uint64_t arg) {
  if (green__unlikely(h->trace != NULL))
    green__trace_put(h, kind, thread, why, arg);
}
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
void green__graces_check(struct green_hub *h); /* fires those that are due */
uint64_t green__graces_next(const struct green_hub *h);
/* Is the thread, or the whole hub, being ended? 2: shields are refused. */
static inline int green__draining(const struct green_hub *h,
                                  const struct green_thread *t) {
  int of_family = green_family_of(t)->draining;
  return of_family > h->hot.draining ? of_family : h->hot.draining;
}
int green__enter(struct green_hub *h);
/* The same for a call that will wait: nobody runs before it does, so that it
 * misses nothing. */
int green__enter_to_wait(struct green_hub *h);
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
/* A thread waits for one event at a time. */
static inline int green__is_event(int event) {
  return event == GREEN_READABLE || event == GREEN_WRITABLE;
}
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
/* Runs what other OS threads have posted, as a loop of the hub's does by
 * itself. */
void green__posts_hear(struct green_hub *h);
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
void green__close_handle(struct green_hub *h, void *handle,
                         uv_close_cb closed);

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
