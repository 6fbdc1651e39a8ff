/* green.h - green threads on libuv.
 *
 * A hub schedules green threads on one OS thread and one uv_loop_t. A green
 * thread runs until it blocks in one of the functions marked "blocks"; then
 * another one runs. Several hubs in several OS threads are independent.
 *
 * Conventions. Every function takes the hub. Times are nanoseconds on the
 * clock of green_now(); a deadline is a point on it, GREEN_FOREVER is none,
 * and a deadline that has passed means "try once, never switch". Functions
 * return 0 or more, or a negative libuv error code:
 *
 *   UV_ETIMEDOUT   the deadline passed
 *   UV_ECANCELED   the calling thread was killed, or one of its scopes ended
 *   GREEN_EDEADLK  nothing can ever wake anybody (main thread only)
 *   UV_EPERM       not here: blocking where no green thread is running, or
 *                  anything on another OS thread than the hub's, or in a
 *                  forked child; green_elsewhere() tells
 *   UV_ENOMEM      no memory, or no stack, for what was asked; nothing happened
 *
 * All functions belong to the OS thread that opened the hub, except
 * green_post_send().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_H
#define GREEN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define GREEN_VERSION "0.1.0"
#define GREEN_FOREVER UINT64_MAX
#define GREEN_EDEADLK (-EDEADLK)

struct addrinfo;
struct sockaddr;

#pragma GCC visibility push(default)
struct green_hub;
struct green_thread;
struct green_fd;
struct green_post;
struct green_scope;

/* ------------------------------------------------------------------ hub -- */

/* Who drives the hub. */
enum green_drive {
  GREEN_DRIVE_MAIN, /* the calling stack becomes the main green thread; when
                       it blocks, others run. The loop is the hub's own. */
  GREEN_DRIVE_LOOP, /* the host runs uv_run() on `loop`; never blocks it. */
  GREEN_DRIVE_STEP  /* the host calls green_step() now and then. */
};

/* How stacks are guarded; AUTO takes the first that works. */
enum green_guard {
  GREEN_GUARD_AUTO,
  GREEN_GUARD_MADVISE,  /* MADV_GUARD_INSTALL, Linux 6.13 and later */
  GREEN_GUARD_MPROTECT, /* within a budget below vm.max_map_count */
  GREEN_GUARD_CANARY    /* a word checked at every switch */
};

struct green_options {
  enum green_drive drive;
  uv_loop_t *loop; /* the host's loop; NULL: one of the hub's own */
  enum green_guard guard;
  size_t stack_size;      /* usable bytes of a stack; 0: 512 KB, enough for
                             anything that Lua does */
  uint32_t max_stacks;    /* 0: 131072; beyond it blocking gives UV_ENOMEM */
  uint32_t poll_switches; /* switches between two polls; 0: 256 */
  uint32_t poll_ms;       /* longest time between two polls; 0: 1 ms */
  uint32_t budget;        /* calls in a row that need not wait; 0: 64 */
  uint64_t grace;         /* how long clean-up may take; 0: 5 s, in ns */
  /* Answers of look-ups that are kept for callers to come: how many at most
   * (0: none), and for how many ms; that a name is unknown, for how many. */
  uint32_t lookup_cache, lookup_ttl, lookup_negative_ttl;
};

/* Opens a hub. NULL options: GREEN_DRIVE_MAIN with every default. */
int green_open(struct green_hub **hub, const struct green_options *options);

/* Kills all other threads, lets them clean up for at most the grace twice,
 * and frees the hub. Threads that live on are reported on stderr and leave
 * their stacks mapped; returns how many. Call it on the main thread or on the
 * host's stack. UV_EBUSY, and nothing has happened: a runtime (a Lua state) is
 * open on the hub, or handles or requests of the host's are on a loop of the
 * hub's own. A host's loop must run once more afterwards. */
int green_close(struct green_hub *hub);

/* Kills all other threads and waits for their end, as green_close() does, but
 * keeps the hub. Returns how many were abandoned: if any were, the hub can be
 * looked at and closed, and nothing else. It touches its loop no more then. */
int green_drain(struct green_hub *hub);

/* Polls without blocking and runs ready threads, until `budget` switches have
 * been made, with further polls in between, or nothing is ready. 0: until the
 * next poll would be due. Returns 1 while threads are still ready, else 0. For
 * GREEN_DRIVE_STEP and GREEN_DRIVE_LOOP; not from a thread.
 *
 * When to step next is told by the loop: uv_backend_timeout(green_loop(hub))
 * is 0 while there is something to do, else the time until there will be, and
 * uv_backend_fd() becomes readable when a descriptor or another OS thread has
 * something for the hub. */
int green_step(struct green_hub *hub, uint32_t budget);

uv_loop_t *green_loop(struct green_hub *hub);
/* Why the hub cannot be used by the caller ("in a forked child process", "on
 * another OS thread than the hub's"), or NULL. */
const char *green_elsewhere(struct green_hub *hub);
uint64_t green_now(void); /* reads the OS thread's monotonic clock, ns */
const char *green_strerror(int error);
const char *green_switch_name(void); /* "x86_64", "aarch64", "ucontext" */
const char *green_guard_name(struct green_hub *hub);

/* The stack_size that 0 stands for: 512 KB, or 2 MB in a library that was built
 * without optimization or with a sanitizer. */
size_t green_stack_default(void);

struct green_stats {
  uint64_t switches, polls, sleeps, spawned;
  uint64_t uptime, idle; /* ns since opening; of them slept in polls */
  uint64_t memory; /* bytes that the library's hubs in this process have from
                      the system, without C stacks, libuv's and a runtime's */
  uint32_t live, ready, kept, stacks, idle_stacks, timers, external;
};
void green_stats(struct green_hub *hub, struct green_stats *stats);

/* -------------------------------------------------------------- reports -- */

/* Reports go to stderr and never block, whoever reads it; they are limited in
 * rate, and it is told how many were dropped. Control characters are escaped.
 * Any OS thread. */
void green_report(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* The same in two steps, for a text that costs something: begin returns 0 if
 * the report is dropped. put cuts a long text unless it is to be whole, and is
 * not limited by itself. */
int green_report_begin(void);
void green_report_put(const char *text, size_t length, int whole);
/* Copies the part of a text that a terminal or a log may show: valid
 * UTF-8, tabs and newlines; the rest as \xNN. Returns the size, also without
 * `to`. */
size_t green_printable(char *to, const char *text, size_t length);

/* -------------------------------------------------------------- threads -- */

typedef int (*green_fn)(struct green_hub *hub, void *arg);

/* Spawns a green thread that runs fn(hub, arg) on a C stack of its own. It
 * starts when the caller next blocks, in order of spawning. `thread` may be
 * NULL; else it stays valid until green_join() returned 0 or more for it, or
 * green_detach(). Never switches. */
int green_spawn(struct green_hub *hub, struct green_thread **thread,
                green_fn fn, void *arg);

/* Blocks until the thread has ended, then forgets it; *result, if not NULL, is
 * what fn returned, or UV_ECANCELED when it was killed before it started. */
int green_join(struct green_hub *hub, struct green_thread *thread,
               uint64_t deadline, int *result);
void green_detach(struct green_hub *hub, struct green_thread *thread);

/* Blocks until the deadline. A deadline of 0 lets all others run once. */
int green_sleep(struct green_hub *hub, uint64_t deadline);

/* Marks the thread as killed: every later blocking call in it returns
 * UV_ECANCELED until it ends. One that has not started never runs. Never
 * switches. Returns 1 if the thread was alive, else 0. UV_EPERM on another OS
 * thread than the hub's. */
int green_kill(struct green_hub *hub, struct green_thread *thread);

/* Makes the next blocking call of the thread return `error`, once. Returns 0,
 * or UV_EALREADY while an earlier throw was not delivered. Never switches. */
int green_throw(struct green_hub *hub, struct green_thread *thread, int error);

struct green_thread *green_current(struct green_hub *hub);
struct green_thread *green_main(struct green_hub *hub);
uint64_t green_id(const struct green_thread *thread);
const char *green_name(const struct green_thread *thread); /* "" if none */
int green_set_name(struct green_hub *hub, struct green_thread *thread,
                   const char *name);
const char *green_status(const struct green_thread *thread);
const char *green_waits_for(const struct green_thread *thread); /* or NULL */

/* Bytes of its C stack that the thread has touched at most, in whole pages;
 * 0 while it has none. */
size_t green_stack_used(struct green_hub *hub,
                        const struct green_thread *thread);
/* Bytes left below the caller's frame on the current stack. */
size_t green_stack_left(struct green_hub *hub);

/* Calls f for each live thread, in no order; f must not spawn or block. */
void green_each(struct green_hub *hub,
                void (*f)(struct green_thread *thread, void *arg), void *arg);

/* ---------------------------------------------------------- descriptors -- */

#define GREEN_READABLE UV_READABLE
#define GREEN_WRITABLE UV_WRITABLE

/* Blocks until fd is ready. The descriptor is watched only during the call and
 * its O_NONBLOCK flag is left as it was, so fd may be anybody's. Regular files
 * are always ready. */
int green_wait_fd(struct green_hub *hub, int fd, int event, uint64_t deadline);

/* A descriptor that stays watched between waits ("kept armed"): the fast way.
 * Opening the same number again gives the same green_fd, counted. Those still
 * open end with the hub. */
int green_fd_open(struct green_hub *hub, int fd, struct green_fd **out);

/* Blocks until ready. UV_EBUSY: another thread reads (green_fd_reader() tells
 * which: it waits, or was woken and has not run yet); UV_EBADF: closed
 * meanwhile. */
int green_fd_wait(struct green_hub *hub, struct green_fd *f, int event,
                  uint64_t deadline);
struct green_thread *green_fd_reader(struct green_fd *f);

/* Blocks until one of n descriptors is ready: which one, from 0. UV_EINVAL for
 * more than GREEN_MOST_FDS; UV_EBADF if one is closed meanwhile. */
enum { GREEN_MOST_FDS = 16 };
int green_fd_wait_any(struct green_hub *hub, struct green_fd *const *fds,
                      int n, int event, uint64_t deadline);

/* Writers take turns: between begin (blocks) and end a thread has the write
 * side for itself, first come first served. */
int green_fd_write_begin(struct green_hub *hub, struct green_fd *f,
                         uint64_t deadline);
void green_fd_write_end(struct green_hub *hub, struct green_fd *f);

/* Wakes all waiters with UV_EBADF and stops watching; the caller closes the
 * descriptor itself, right after. Never switches. */
void green_fd_close(struct green_hub *hub, struct green_fd *f);
/* Gives up one count without waking anybody; the last one closes. */
void green_fd_release(struct green_hub *hub, struct green_fd *f);
/* The number is about to be closed, or was just handed out by the kernel: all
 * that wait for what it was, by whatever green_fd or green_wait_fd(), are woken
 * with UV_EBADF. Costs next to nothing where nobody does. */
void green_fd_forget(struct green_hub *hub, int fd);
/* How often the kernel has refused to watch one, for its limit or for memory
 * (UV_ENOSPC, UV_ENOMEM of a wait). Whoever accepts connections may pause. */
uint32_t green_fd_refused(struct green_hub *hub);
/* For a thread that was woken for nothing: the number may lead elsewhere, and
 * the events be those of the old file, which lives on. 0, or UV_EBADF: it does,
 * and f is closed. */
int green_fd_check(struct green_hub *hub, struct green_fd *f);
/* Closed by now, in one of these ways? Then the number is somebody else's. */
int green_fd_is_closed(const struct green_fd *f);

/* Blocks until the look-up is done, on a thread of the core's own; numeric
 * addresses never go there, nor what is kept from an earlier one, which is
 * answered even at a deadline of 0. Look-ups wait for one another, first come
 * first served, but for none that nobody waits for any more; equal ones share
 * one run. Returns 0 and a list for green_freeaddrinfo(), or one of libuv's
 * UV_EAI_ codes. */
int green_getaddrinfo(struct green_hub *hub, const char *node,
                      const char *service, const struct addrinfo *hints,
                      uint64_t deadline, struct addrinfo **list);
void green_freeaddrinfo(struct addrinfo *list);
/* The same for the name of an address, and that of its port: getnameinfo(3)'s
 * flags and texts. UV_EAI_OVERFLOW: a text is too small; a size of 0: it is not
 * asked for. */
int green_getnameinfo(struct green_hub *hub, const struct sockaddr *address,
                      size_t size, int flags, uint64_t deadline, char *host,
                      size_t host_size, char *service, size_t service_size);
/* Answers that are kept are forgotten. Never switches. */
void green_forget_lookups(struct green_hub *hub);

/* ------------------------------------------------- from other OS threads -- */

/* Opens a post, by which other OS threads reach the hub. It is counted and may
 * outlive the hub. While one is open, the hub never reports a deadlock and a
 * host's loop stays alive. */
int green_post_open(struct green_hub *hub, struct green_post **post);
/* Any OS thread: runs fn(hub, arg) on the hub soon. fn may wake and spawn, not
 * block. 0, UV_ENOMEM, or UV_ECANCELED when the hub is closed. */
int green_post_send(struct green_post *post,
                    void (*fn)(struct green_hub *hub, void *arg), void *arg);
/* The hub's OS thread: gives the post up. Later sends are refused. */
void green_post_close(struct green_hub *hub, struct green_post *post);
/* Any OS thread: one more, one less holder of the memory. */
void green_post_hold(struct green_post *post);
void green_post_release(struct green_post *post);

/* Prints the name of the thread when a green stack overflows, then lets the
 * fault go its way. Per process; only if SIGSEGV is at its default. */
int green_report_overflow(void);

/* ================= for runtimes on top of the core ======================= */

/* The rest is for a runtime that runs its own kind of thread, such as the Lua
 * binding. Ordinary C programs need nothing of it. */

struct green_link {
  struct green_link *next, *prev;
};
/* Circular, through the list itself; first come first. */
struct green_list {
  struct green_link link;
};
/* One thread in one list; linked while link.next. A thread that waits for many
 * things has a node of its own in each list. */
struct green_node {
  struct green_link link;
  struct green_thread *thread; /* NULL: the node of a green_watch */
};
/* Stands in a list in a thread's place and is told when its turn comes; only
 * in lists whose waiters are woken all at once, such as a thread's joiners.
 * `fire` runs after it was unlinked, on any stack; it may wake, not block.
 * `owns`, for the runtime, tells whether the watch is the destination of the
 * thread's error; it may be NULL. */
struct green_watch;
struct green_watch_kind {
  void (*fire)(struct green_hub *hub, struct green_watch *watch);
  int (*owns)(const struct green_watch *watch);
};
struct green_watch {
  struct green_node node;
  const struct green_watch_kind *kind;
};

/* Many places in lists that stay there between the waits of a thread, so that
 * to wait for a thousand things again costs no more than to wait for one. A
 * case stands in a list like a watch. While `thread` is blocked in the choice,
 * its cases count as that thread's nodes; else they are dormant, and one whose
 * turn comes leaves its list and tells `ready`: its owner will look at the
 * thing before it waits again. `ready` may run on any stack, and only notes. */
struct green_case {
  struct green_watch watch; /* node.thread: set while it is armed */
  struct green_choice *choice;
  struct green_case *armed; /* the next one that has its thread in it */
};
struct green_choice {
  struct green_thread *thread; /* blocked in it, or NULL */
  struct green_case *armed;
  void (*ready)(struct green_choice *choice, struct green_case *c);
};

/* A kind of wait: one static object per blocking operation. */
struct green_wait_kind {
  const char *name; /* "queue:get" */
  /* The thread ends without going on from this wait: give back what it holds
   * and, if it was woken (reason GREEN_WOKEN), what that handed over. May be
   * NULL. Called on any stack, never raises; not for a lap, whose thread waits
   * on nothing (thread->on is NULL). */
  void (*undo)(struct green_hub *hub, struct green_thread *thread);
  /* The wait ends, whatever ended it: unlink further nodes, uncount. Of a
   * thread's own nodes the one it is woken by is unlinked already. */
  void (*leave)(struct green_hub *hub, struct green_thread *thread);
};

/* Why a thread was woken. */
enum green_reason {
  GREEN_WOKEN, /* what it waited for happened */
  GREEN_TIMEOUT,
  GREEN_INTERRUPT, /* killed, thrown into, or a scope was cancelled */
  GREEN_CLOSED,    /* what it waited for was closed */
  GREEN_DEADLOCK,
  GREEN_EXIT /* the program ends: main only */
};

enum green_state {
  GREEN_NEW, /* never ran; waits for a timer or is in the ready queue */
  GREEN_READY,
  GREEN_RUNNING,
  GREEN_BLOCKED,
  GREEN_DONE,
  GREEN_FAILED,
  GREEN_KILLED
};

/* thread->flags */
enum {
  GREEN_HELD = 1,   /* the record outlives the end; see green_forget() */
  GREEN_STRUCK = 2, /* killed */
  GREEN_FORCED = 4, /* the kill is to be forced past every handler */
  GREEN_SHORT = 8,  /* the last wait ended before the hub slept */
  GREEN_UNINTERRUPTIBLE = 16, /* no strike ends this wait */
  GREEN_CLEANUP = 32, /* a report or a link: runs even while the hub drains */
  GREEN_OVER = 64, /* its end is done with: nothing but its holder knows it */
  GREEN_RUNTIME = 128 /* of the runtime's own class: neither main nor C's */
};

enum { GREEN_ENDED, GREEN_PARKED }; /* see green_next() */

/* A kind of thread. */
struct green_class {
  const char *name;
  /* Starts a thread or goes on with one that parked without a stack. On a
   * worker stack, with the thread current. Then calls green_next(), and does
   * the same with each thread that it returns, until it returns NULL. */
  void (*run)(struct green_hub *hub, struct green_thread *thread);
  /* The thread is ended without ever having run. May be NULL. */
  void (*unstarted)(struct green_hub *hub, struct green_thread *thread);
  /* The thread has ended: before its joiners are woken; after, with what the
   * first one returned, or 0. May be NULL. */
  int (*ending)(struct green_hub *hub, struct green_thread *thread);
  void (*ended)(struct green_hub *hub, struct green_thread *thread, int note);
};

/* One green thread: 128 bytes, two cache lines, because a million of them wait.
 * A free record has no id.
 *
 *   node ........ in the ready queue, or in the list of what it waits for
 *   stack ....... while it runs, and while it is parked with C frames on it
 *   kind, on .... what it waits for; since: when that began (hub's clock)
 *   fn .......... of a C thread that is new: what it will run
 *   result ...... of a C thread that has ended: what fn returned
 *   user_place .. the runtime's, of a thread that has ended
 *   joiners ..... threads that wait for its end
 *   scopes ...... its timeouts, groups and shields, innermost first
 *   user* ....... the runtime's
 */
struct green_thread {
  struct green_node node; /* the first 64 bytes are what a switch touches */
  struct green__stack *stack;
  const struct green_wait_kind *kind;
  void *user;
  uint8_t state, reason, pending, flags;
  uint8_t sleeps, user_flags;
  uint16_t deliveries;
  union {
    void *on;
    int (*fn)(struct green_hub *hub, void *arg);
  };
  union {
    uint64_t since;
    int result;
    uint32_t user_place;
  };
  uint32_t slot; /* in the timer heap; 0: not there */
  uint32_t
      struck_ms; /* when the kill came, then when it was delivered first */
  struct green_scope *scopes;
  struct green_list joiners;
  struct green__cold *cold;
  uint64_t id;
  int32_t user_anchor;
  uint32_t user_spawner;
};

/* The fields that a runtime reads at every call: a hub begins with them. */
struct green_hot {
  struct green_thread *current; /* NULL on the hub's and the host's stack */
  int32_t budget;  /* calls that may still succeed without going round */
  uint32_t kept;   /* threads parked with their stack */
  uint32_t ready;  /* threads in the ready queue */
  uint32_t sleeps; /* polls that slept */
  uint32_t spawns; /* threads spawned */
  uint8_t draining, closed;
  void *user; /* the runtime's */
};
static inline struct green_hot *green_hot(struct green_hub *hub) {
  return (struct green_hot *)hub;
}

static inline void green_list_init(struct green_list *list) {
  list->link.next = list->link.prev = &list->link;
}
/* The first that waits, or a watch; dormant cases before it leave the list. */
struct green_node *green_list_head_slow(struct green_list *list);
static inline struct green_node *green_list_head(struct green_list *list) {
  struct green_node *first = (struct green_node *)list->link.next;
  if (first == (struct green_node *)&list->link) return NULL;
  return first->thread ? first : green_list_head_slow(list);
}
static inline struct green_thread *green_list_first(struct green_list *list) {
  struct green_node *first = green_list_head(list);
  return first ? first->thread : NULL;
}
static inline void green_list_add(struct green_list *list,
                                  struct green_node *node) {
  struct green_link *last = list->link.prev;
  node->link.next = &list->link;
  node->link.prev = last;
  last->next = list->link.prev = &node->link;
}
static inline void green_list_remove(struct green_node *node) {
  node->link.next->prev = node->link.prev;
  node->link.prev->next = node->link.next;
  node->link.next = NULL;
}

/* The current thread has parked without its stack (GREEN_PARKED: it registered
 * a wait before), or has ended (GREEN_ENDED: its state says how). Returns the
 * next thread for class.run, already current, or NULL. */
struct green_thread *green_next(struct green_hub *hub,
                                struct green_thread *thread, int how);

/* Makes a thread of the runtime's class `klass` (GREEN_RUNTIME), which is the
 * only one on the hub; it is not in the ready queue yet. NULL: no memory, or
 * not here (green_elsewhere()). */
struct green_thread *green_thread_new(struct green_hub *hub,
                                      const struct green_class *klass);
/* Keeps memory for one more thread apart, or UV_ENOMEM; and gives it back, so
 * that the next green_thread_new() cannot fail. */
int green_reserve(struct green_hub *hub);
void green_unreserve(struct green_hub *hub);
/* Starts it: now (0), at a time, or never (GREEN_FOREVER). UV_ENOMEM: no room
 * in the timer heap. */
int green_start(struct green_hub *hub, struct green_thread *thread,
                uint64_t at);
/* Ends one that has not started, as killed. 1 if it had not, else 0. */
int green_unstart(struct green_hub *hub, struct green_thread *thread);
/* Ends a new one in the state that was set. */
void green_end_unstarted(struct green_hub *hub, struct green_thread *thread);
/* The holder of a GREEN_HELD thread gives it up: frees the record if its end
 * is over; while `ended` runs, the end does that. */
void green_forget(struct green_hub *hub, struct green_thread *thread);
/* The thread parked without a stack and is being ended from outside. The first
 * ends its wait and gives back what a wake-up handed over; the second does
 * that and ends the thread. */
void green_wait_cancel(struct green_hub *hub, struct green_thread *thread);
void green_end_parked(struct green_hub *hub, struct green_thread *thread,
                      enum green_state state);

/* One more pointer of the runtime's, for the threads that need it: made at the
 * first call, with NULL in it, stays where it is, and is freed with the
 * record. NULL: no memory. */
void **green_extra(struct green_hub *hub, struct green_thread *thread);
/* Its value; NULL if it was never made. */
void *green_extra_value(const struct green_thread *thread);

/* Registers a wait of the current thread: in `list` (may be NULL) and with a
 * deadline. No effect but the return code when there is no memory. After 0
 * comes either green_keep() or green_next(GREEN_PARKED) in class.run. */
int green_wait_begin(struct green_hub *hub, const struct green_wait_kind *kind,
                     void *on, struct green_list *list, uint64_t deadline);
/* As above, but the thread is ready at once: it goes round the queue. */
int green_lap_begin(struct green_hub *hub, const struct green_wait_kind *kind);
/* green_lap_begin() and green_keep() in one, for the hottest path: sleep(0). A
 * reason, or a negative code. */
int green_lap(struct green_hub *hub, const struct green_wait_kind *kind,
              void *note);
/* Before green_keep() (and before the wait is registered): 0 if the thread may
 * keep its stack, UV_ENOMEM if no further stack can be had. */
int green_keep_reserve(struct green_hub *hub);
/* Switches away; the C frames stay. Returns the reason of the wake-up. */
enum green_reason green_keep(struct green_hub *hub);
/* The three in one: an enum green_reason, or a negative code. Checks nothing
 * on entry. */
int green_wait(struct green_hub *hub, const struct green_wait_kind *kind,
               void *on, struct green_list *list, uint64_t deadline);

/* The frames on the current thread's stack never go on, as if an error had
 * passed them all: class.run is called for the thread on another stack, and
 * there calls green_frames_left() first, which frees the one that was left.
 * After green_keep_reserve(); threads of the runtime's only. Does not return.
 */
void green_leave_frames(struct green_hub *hub);
void green_frames_left(struct green_hub *hub);

/* A pointer of the runtime's that stays with the stack the current thread is
 * about to keep; NULL for a thread without a stack. */
void green_keep_note(struct green_hub *hub, void *note);
void *green_kept_note(const struct green_thread *thread);

/* A choice with no cases in lists yet. A case of it, not in a list yet. */
void green_choice_init(struct green_choice *choice,
                       void (*ready)(struct green_choice *choice,
                                     struct green_case *c));
void green_case_init(struct green_choice *choice, struct green_case *c);
/* The current thread is about to wait in the choice. Its kind's leave() calls
 * the other one: the case that woke it, which has left its list, or NULL. */
void green_choice_enter(struct green_hub *hub, struct green_choice *choice);
struct green_case *green_choice_leave(struct green_choice *choice);
/* How many threads wait in the list. */
uint32_t green_list_length(const struct green_list *list);

/* Wakes a blocked thread; one that is not blocked is left alone (returns 0).
 * Any stack; never switches. */
int green_wake(struct green_hub *hub, struct green_thread *thread,
               enum green_reason reason);
/* The same, for what one of its nodes stands for. */
int green_wake_node(struct green_hub *hub, struct green_node *node,
                    enum green_reason reason);
/* Wakes the first of a list: the thread, or NULL. All: their number. */
struct green_thread *green_wake_first(struct green_hub *hub,
                                      struct green_list *list,
                                      enum green_reason reason);
int green_wake_all(struct green_hub *hub, struct green_list *list,
                   enum green_reason reason);

/* Timers without a thread. In the heap exactly while slot != 0. `fire` runs on
 * the hub after removal and may wake, cancel and start, not block. */
struct green_timer {
  uint32_t slot;
  void (*fire)(struct green_hub *hub, struct green_timer *timer);
};
int green_timer_start(struct green_hub *hub, struct green_timer *timer,
                      uint64_t deadline);
void green_timer_stop(struct green_hub *hub, struct green_timer *timer);
uint64_t green_timer_deadline(struct green_hub *hub, uint32_t slot);

/* ---------------------------------------------------------- cancellation -- */

enum green_scope_kind { GREEN_SCOPE_TIMEOUT, GREEN_SCOPE_GROUP, GREEN_SHIELD };

/* One part of a thread's work that can be cancelled, or is shielded. Memory is
 * the opener's and must stay while the scope is open. */
struct green_scope {
  struct green_scope *outer, *inner;
  struct green_thread *thread; /* NULL: not open */
  struct green_timer timer;
  uint64_t deadline;
  /* Optional: 0 while the scope rests, which neither strikes nor hides. */
  int (*awake)(struct green_hub *hub, struct green_scope *scope);
  uint8_t kind, cancelled;
  uint16_t deliveries;
  uint32_t user; /* the runtime's; not touched */
};
/* Opens a scope of the current thread, innermost. A timeout is cancelled, a
 * shield worn out, at the deadline. */
int green_scope_open(struct green_hub *hub, struct green_scope *scope,
                     enum green_scope_kind kind, uint64_t deadline);
void green_scope_close(struct green_hub *hub, struct green_scope *scope);
void green_scope_cancel(struct green_hub *hub, struct green_scope *scope);
/* An open one: from now on it has this deadline and is not cancelled. */
int green_scope_restart(struct green_hub *hub, struct green_scope *scope,
                        uint64_t deadline);
/* An open one is the current thread's now, right outside of `inner`; NULL:
 * innermost. If it is cancelled it strikes the next wait. No shield. */
void green_scope_move(struct green_hub *hub, struct green_scope *scope,
                      struct green_scope *inner);
/* Is it, or has its deadline passed (which cancels it now, not only when the
 * hub next polls)? */
int green_scope_cancelled(struct green_hub *hub, struct green_scope *scope);

/* The kinds of strike. */
enum green_strike {
  GREEN_STRIKE_NONE,
  GREEN_STRIKE_KILL,
  GREEN_STRIKE_SCOPE,
  GREEN_STRIKE_THROW
};
/* The strike that is visible now: outermost first, then a throw. Of the running
 * thread, a scope whose deadline has passed is cancelled first. */
enum green_strike green_strikes(struct green_hub *hub,
                                struct green_thread *thread,
                                struct green_scope **scope);
/* Counts a delivery to the current thread and says how it must be done. */
enum { GREEN_AT_ONCE, GREEN_LAP_FIRST, GREEN_FORCE };
int green_deliver(struct green_hub *hub, enum green_strike strike,
                  struct green_scope *scope);
/* Is a kill to be forced now? It was, or it was swallowed too often, or the
 * grace is over. `anew`: only the grace counts, since struck_ms; for handlers
 * that run after a forced end. Then GREEN_FORCED is set. */
int green_overdue(struct green_hub *hub, struct green_thread *thread,
                  int anew);
/* The code of a throw under way, or 0. */
int green_thrown(const struct green_thread *thread);
/* Takes the thrown code; clears it. */
int green_take_throw(struct green_hub *hub, struct green_thread *thread);
/* Milliseconds since the hub opened: the scale of struck_ms. */
uint32_t green_ms(struct green_hub *hub);
/* The nearest deadline among the visible timeouts, passed or not. */
uint64_t green_scope_deadline(struct green_hub *hub,
                              struct green_thread *thread);

/* ------------------------------------------------------------- hooks -- */

/* Events that a runtime is told of; each may be NULL. */
struct green_runtime {
  void (*deadlock)(struct green_hub *hub); /* before main is woken for it */
  void (*abandoned)(struct green_hub *hub, struct green_thread *thread);
  /* A thread of C code has ended; its joiners are woken after that. */
  void (*c_ended)(struct green_hub *hub, struct green_thread *thread);
  void (*killed)(struct green_hub *hub, struct green_thread *thread);
  void (*alert)(struct green_hub *hub); /* after green_alert() */
};
void green_set_runtime(struct green_hub *hub,
                       const struct green_runtime *runtime);

/* After a uv_async_t or a uv_signal_t was made on the hub's loop: registers its
 * descriptor now, as libuv would abort the process if the kernel refused it
 * later. 0, or why it does. */
int green_loop_secure(struct green_hub *hub);

/* A handle that the runtime has on the hub's loop: the hub waits for its close
 * callback, whose last act is green_handle_closed(). */
void green_handle_opened(struct green_hub *hub);
void green_handle_closed(struct green_hub *hub);

/* Lets the hub call runtime->alert soon. Async-signal-safe, after one
 * successful green_alert_open(). */
int green_alert_open(struct green_hub *hub);
void green_alert(struct green_hub *hub);

/* For tests: the clock of the OS thread stands still and, when no thread is
 * ready, jumps to the next deadline. While threads wait for something outside,
 * `quiet` ns (0: 5 ms) of real time must pass first in which nobody becomes
 * ready; 100 times that while a look-up is under way. GREEN_DRIVE_MAIN only,
 * else UV_EINVAL; UV_EBUSY: another hub of the OS thread froze it. Thawed, it
 * goes on from where it is. green_close() thaws. */
int green_clock_freeze(struct green_hub *hub, uint64_t quiet);
int green_clock_thaw(struct green_hub *hub);
/* The quiet time in force; 0: the clock goes. */
uint64_t green_clock_frozen(struct green_hub *hub);

/* For tests: the next thread to run is any of the first 16 ready ones, in an
 * order that the seed decides; 0: the first, as ever. */
void green_shuffle(struct green_hub *hub, uint64_t seed);

/* The counts of a thread while accounting is on. */
struct green_account {
  uint64_t switches; /* how often it was switched to */
  uint64_t running;  /* ns of real time that it ran */
  uint64_t blocked;  /* ns from the beginning of its waits to its going on */
};
/* On or off; each switch then reads the clock twice. */
void green_accounting(struct green_hub *hub, int on);
int green_accounts(struct green_hub *hub); /* is it on? */
/* The figures so far; zeros if nothing was ever counted. */
void green_account(struct green_hub *hub, const struct green_thread *thread,
                   struct green_account *account);

/* Blocks until the caller is the only live thread. */
int green_wait_others(struct green_hub *hub, uint64_t deadline);
extern const struct green_wait_kind green_others_kind;
struct green_list *green_others(struct green_hub *hub);
uint32_t green_live(struct green_hub *hub);
/* Options in force, to read and (poll_*, budget, grace, max_stacks) change. */
struct green_options *green_config(struct green_hub *hub);
void green_set_max_stacks(struct green_hub *hub, uint32_t max);
/* More, or fewer, things outside that can wake a thread. */
void green_external(struct green_hub *hub, int delta);
/* The first halves of green_fd_wait() and green_fd_write_begin(). A kind of
 * the runtime's own names green_fd_leave() as its leave, and for a turn
 * green_fd_turn_undo() as its undo. */
int green_fd_wait_begin(struct green_hub *hub, struct green_fd *f, int event,
                        uint64_t deadline, const struct green_wait_kind *kind);
void green_fd_leave(struct green_hub *hub, struct green_thread *thread);
/* One of many things that the current thread waits for: links the node, as the
 * only one that waits for the event; ended by green_fd_unlink(), which unlinks
 * it. */
int green_fd_link(struct green_hub *hub, struct green_fd *f, int event,
                  struct green_node *node);
void green_fd_unlink(struct green_hub *hub, struct green_fd *f,
                     struct green_node *node);
/* 0: the current thread has the write side; UV_EAGAIN: another has it. */
int green_fd_write_try(struct green_hub *hub, struct green_fd *f);
int green_fd_turn_begin(struct green_hub *hub, struct green_fd *f,
                        uint64_t deadline, const struct green_wait_kind *kind);
void green_fd_turn_undo(struct green_hub *hub, struct green_thread *thread);
int green_fd_number(const struct green_fd *f);

#pragma GCC visibility pop

#endif
