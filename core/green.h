/* green.h - green threads on libuv.
 *
 * A hub schedules green threads on one OS thread and one uv_loop_t. A green
 * thread runs until it blocks in one of the functions marked [thread]; then
 * another one runs. Several hubs in several OS threads are independent.
 *
 * Each comment begins with the stacks that may call the function:
 *
 *   [thread]  a green thread, main included. Blocks that thread alone, unless
 *             the comment says that it never switches.
 *   [hub]     any stack of the OS thread that opened the hub: a green thread's,
 *             the host's, a callback's. Never blocks and never switches.
 *   [host]    of these the one that opened the hub: main, or the host outside
 *             of any green thread. Runs green threads.
 *   [any]     any OS thread. Never switches.
 *
 * Conventions. Every function takes the hub. Times are nanoseconds on the
 * clock of green_now(); a deadline is a point on it, GREEN_FOREVER is none,
 * and a deadline that has passed means "try once, never switch". Functions
 * return 0 or more, or a negative libuv error code; each may return those that
 * its kind of stack implies:
 *
 *   UV_ETIMEDOUT   the deadline passed
 *   UV_ECANCELED   the calling thread was killed, or one of its scopes ended,
 *                  perhaps by its own deadline
 *   GREEN_ETHROWN  a runtime (Lua) threw a value of its own into the calling
 *                  thread; a code that C throws comes as it is
 *   GREEN_EDEADLK  nothing can ever wake anybody (main thread only)
 *   UV_EPERM       not here: blocking where no green thread is running, or
 *                  anything on another OS thread than the hub's, or in a
 *                  forked child; green_elsewhere() tells
 *   UV_ENOMEM      no memory, or no stack, for what was asked; nothing happened
 *
 * A thread whose calls never have to wait is sent to the end of the queue now
 * and then (green_options.budget), in a [thread] function, before that has any
 * effect; never if the deadline is 0.
 *
 * A caller's arguments stay the caller's, and are not used after the call,
 * unless the comment says otherwise. The layout of the structs of green.h may
 * only grow: the library takes and fills as much as the program that calls it
 * knows, and a program may run with a library that is newer.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_H
#define GREEN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define GREEN_VERSION "0.1.0"
#define GREEN_VERSION_NUMBER 0x000100 /* major << 16 | minor << 8 | patch */
#define GREEN_FOREVER UINT64_MAX
#define GREEN_EDEADLK (-EDEADLK)
#define GREEN_ETHROWN (-0x4c55)

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct addrinfo;
struct pollfd;
struct green_link;
struct green_hub;
struct green_thread;
struct green_fd;
struct green_post;
struct green_scope;
struct green_message;
struct green_port;
struct green_span;

/* [any] The GREEN_VERSION_NUMBER of the library that runs. */
uint32_t green_version(void);

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

/* Zeros are defaults, so { .drive = ... } is enough. Where less than the
 * default is wanted, give 1: a grace of 1 ns is no grace. */
struct green_options {
  enum green_drive drive;
  uv_loop_t *loop; /* the host's loop; NULL: one of the hub's own */
  enum green_guard guard;
  size_t stack_size;      /* usable bytes of a stack; 0: 512 KB, enough for
                             anything that Lua does */
  uint32_t max_stacks;    /* 0: 131072; beyond it blocking gives UV_ENOMEM */
  uint32_t poll_switches; /* switches between two polls; 0: 256 */
  uint32_t poll_ms;       /* longest time between two polls; 0: 1 ms */
  uint32_t budget;        /* calls in a row that need not wait, at most: fewer
                             after some that took above 10 ms; 0: 64 */
  uint64_t grace;         /* how long clean-up may take; 0: 5 s, in ns */
  /* Answers of look-ups that are kept for callers to come: how many at most
   * (0: none), and for how many ms; that a name is unknown, for how many. */
  uint32_t lookup_cache, lookup_ttl, lookup_negative_ttl;
  /* GREEN_DRIVE_STEP only: the time of the host's, in ns, that sleeps, limits
   * and timers go by, for pause and slow motion. It is asked in each step, must
   * not go back, and begins above 0. NULL: the monotonic clock. */
  uint64_t (*clock)(void *arg);
  void *clock_arg;
  /* The signal of a runtime's ticks, which preemption, the watchdog and CPU
   * profiles need. The hub's OS thread gets it while that is on and it
   * computes. 0: SIGURG; -1: none, these calls fail. */
  int tick_signal;
  /* OS threads for green_offload(); 0: 16. As many again may run while jobs
   * hang whose callers have gone. */
  uint32_t max_jobs;
  /* sizeof(struct green_options), so that fields can be added below; or 0:
   * this one and those above it are all that the library reads. */
  size_t size;
};

/* [any] Opens a hub, which belongs to the calling OS thread from then on. NULL
 * options: GREEN_DRIVE_MAIN with every default. The options are copied; a loop
 * in them stays the host's. UV_EINVAL: options that contradict each other, or a
 * size too small, or fields not zero that this library is too old to know. */
int green_open(struct green_hub **hub, const struct green_options *options);

/* [host] Kills all other threads, lets them clean up for at most the grace
 * twice (soon after that those that end quickly), waits for jobs under way for
 * at most the grace, and frees the hub.
 * Reports threads that live on, whose stacks stay mapped, on stderr and returns
 * their number. Does nothing and returns UV_EBUSY while a runtime (a Lua state)
 * is open on the hub, or while the host has handles or requests on a loop of
 * the hub's own. A host's loop must run once more afterwards. */
int green_close(struct green_hub *hub);

/* [host] Kills all other threads and waits for their end, as green_close()
 * does, but keeps the hub. Returns how many it abandoned. If it abandoned any,
 * the caller can still inspect and close the hub, but nothing else, and the hub
 * no longer touches its loop. */
int green_drain(struct green_hub *hub);

/* [host] Polls without blocking and runs ready threads, with further polls in
 * between, until it has made `budget` switches or nothing is ready. 0: until
 * the next poll would be due. Returns 1 while threads are still ready, else 0.
 * For GREEN_DRIVE_STEP and GREEN_DRIVE_LOOP; UV_EPERM in a callback of the
 * hub's own loop.
 */
int green_step(struct green_hub *hub, uint32_t budget);

/* [host] The same until `ns` of real time have passed, `switches` are used up,
 * or nothing is ready; GREEN_FOREVER, 0: no bound. Makes one switch at least if
 * a thread is ready. Looks at the time between switches; cuts no thread short.
 */
int green_step_for(struct green_hub *hub, uint64_t ns, uint32_t switches);
/* [hub] When to step at the latest, on the hub's clock: 0 now, GREEN_FOREVER
 * only for a descriptor. */
uint64_t green_next(struct green_hub *hub);
/* [hub] The same in ms from now, as poll(), epoll_wait() and GLib take it:
 * rounded up, at most INT_MAX; -1: only for a descriptor. */
int green_next_ms(struct green_hub *hub);
/* [hub] For poll(), epoll, GLib or SDL: readable when a descriptor or another
 * OS thread has something for a step to do; green_next() tells of time. It
 * stays the hub's. UV_EINVAL for GREEN_DRIVE_MAIN. */
int green_poll_fd(struct green_hub *hub);

/* [hub] The host's loop, or the hub's own, which goes with the hub. The host
 * may begin handles and requests on either, whose callbacks run on the hub's
 * stack and may do what is [hub]; it ends them before green_close(). Only the
 * hub runs a loop of its own. */
uv_loop_t *green_loop(struct green_hub *hub);

/* [hub] A pointer of the host's, NULL at first; the library never touches it.
 */
void *green_data(struct green_hub *hub);
void green_set_data(struct green_hub *hub, void *data);

/* [any] The reason why the caller cannot use the hub ("in a forked child
 * process", "on another OS thread than the hub's"), or NULL. */
const char *green_elsewhere(struct green_hub *hub);
/* [any] The time in ns: while threads of a hub with a clock of the host's run,
 * that clock, else the OS thread's monotonic one. */
uint64_t green_now(void);
/* [any] A deadline: `ns` from now, GREEN_FOREVER if that is too far. */
uint64_t green_in(uint64_t ns);
/* [hub] The hub's clock, on the host's stack, too. */
uint64_t green_time(struct green_hub *hub);
/* [any] Texts that stay valid for good. */
const char *green_strerror(int error);
const char *green_switch_name(void); /* "x86_64", "aarch64", "ucontext" */
const char *green_guard_name(struct green_hub *hub); /* [hub] */

/* [any] The stack_size that 0 stands for: 512 KB, or 2 MB in a library that was
 * built without optimization or with a sanitizer. */
size_t green_stack_default(void);

struct green_stats {
  uint64_t switches, polls, sleeps, spawned;
  uint64_t uptime, idle; /* ns since opening; of them slept in polls */
  uint64_t memory; /* bytes that the library's hubs in this process have from
                      the system, without C stacks, libuv's and a runtime's */
  uint32_t live, ready, kept, stacks, idle_stacks, timers, external;
  uint64_t preempted;  /* threads that were made to yield */
  uint32_t most_ready; /* threads in the ready queue at a poll, in the last 10
                          to 20 seconds */
  uint64_t polling;    /* ns in polls that did not sleep */
};
/* [hub] Fills the struct of that size; fields that the library does not know
 * are 0. Returns 0; elsewhere UV_EPERM, and all fields are 0. */
int green_stats_sized(struct green_hub *hub, struct green_stats *stats,
                      size_t size);
#define green_stats(hub, stats) \
  green_stats_sized(hub, stats, sizeof(struct green_stats))
/* [hub] The number of threads that have not ended, main included. */
uint32_t green_live(struct green_hub *hub);

/* [hub] The options in force, to read, and to change some (poll_*, budget,
 * grace, max_jobs); a new budget holds when a thread has used up the old one.
 * The struct is the library's: its `size` tells which fields it has. */
struct green_options *green_config(struct green_hub *hub);
void green_set_max_stacks(struct green_hub *hub, uint32_t max);

/* -------------------------------------------------------------- reports -- */

/* [any] Writes a report on stderr. It never blocks, even if nobody reads
 * stderr. Reports are limited in rate; a later one tells how many were dropped.
 * Control characters are escaped. */
void green_report(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* [any] The same in two steps, for a text that is expensive to make. begin
 * returns 0 if the report is dropped. put cuts a long text, unless `whole`.
 * Only begin checks the rate. */
int green_report_begin(void);
void green_report_put(const char *text, size_t length, int whole);
/* [any] Copies the part of a text that a terminal or a log may show: valid
 * UTF-8, tabs and newlines; the rest as \xNN. Returns the size, also without
 * `to`. */
size_t green_printable(char *to, const char *text, size_t length);

/* -------------------------------------------------------------- threads -- */

/* What a thread runs. In C++ it may throw and catch, and block in handlers and
 * destructors; an exception that leaves it is std::terminate(). A kill is a
 * code: nothing unwinds the stack but the function itself. */
typedef int (*green_fn)(struct green_hub *hub, void *arg);

/* [hub] Spawns a green thread that runs fn(hub, arg) on a C stack of its own.
 * It starts when the caller next blocks, in order of spawning. `thread` may be
 * NULL; else it stays valid, whatever happens, until a green_join() returned 0
 * for it, or green_detach(). `arg` is the caller's, who keeps it until fn is
 * done with it. */
int green_spawn(struct green_hub *hub, struct green_thread **thread,
                green_fn fn, void *arg);

/* [thread] Blocks until the thread has ended, then forgets it and returns 0;
 * after any other code it is not forgotten. *result, if not NULL, is what fn
 * returned, or UV_ECANCELED when it was killed before it started. Several may
 * wait: all get the result. Of a thread of the runtime's (Lua's) nothing is
 * forgotten; *result is 0 when it returned, UV_UNKNOWN when it failed,
 * UV_ECANCELED when it was killed. UV_ESRCH: the thread has ended, and nobody
 * held it; UV_EINVAL: it is the caller. */
int green_join(struct green_hub *hub, struct green_thread *thread,
               uint64_t deadline, int *result);
/* [hub] Gives the thread up: its memory goes with its end. */
void green_detach(struct green_hub *hub, struct green_thread *thread);

/* [thread] Blocks until the caller is the only live thread. */
int green_wait_others(struct green_hub *hub, uint64_t deadline);

/* [thread] Lets all others run once. */
int green_yield(struct green_hub *hub);
/* [thread] Blocks until the deadline, and not at all if it has passed; but a
 * deadline of 0 is green_yield(). */
int green_sleep(struct green_hub *hub, uint64_t deadline);

/* [hub] Marks the thread as killed: every later blocking call in it returns
 * UV_ECANCELED until it ends. A thread that has not started never runs. Returns
 * 1 if the thread was alive, else 0. NULL is a thread that has ended, here and
 * in green_join(), green_detach() and green_throw(). */
int green_kill(struct green_hub *hub, struct green_thread *thread);

/* [hub] Makes the next blocking call of the thread return `error`, once.
 * Returns 0, UV_EALREADY while an earlier throw is not delivered, or UV_ESRCH
 * if the thread has ended. */
int green_throw(struct green_hub *hub, struct green_thread *thread, int error);

/* [hub] What is known of a thread, while it is held or alive. The one that
 * runs, or NULL on the host's stack; main, or NULL if the hub has none. */
struct green_thread *green_current(struct green_hub *hub);
struct green_thread *green_main(struct green_hub *hub);
/* [hub] A number that no other thread of the hub ever has. */
uint64_t green_id(const struct green_thread *thread);
/* [hub] A copy of the name, "" if there is none, until it is named again; NULL
 * stands for "". The first bytes of a name are kept: a script may give it any,
 * and this memory is the hub's. 0; UV_ENOMEM: it has the former one. */
enum { GREEN_MOST_NAME = 1000 };
const char *green_name(const struct green_thread *thread);
int green_set_name(struct green_hub *hub, struct green_thread *thread,
                   const char *name);
/* [hub] "new", "ready", "running", "blocked", "done", "failed", "killed". */
const char *green_status(const struct green_thread *thread);
/* [hub] What a blocked thread waits for, such as "sleep", or NULL. */
const char *green_waits_for(const struct green_thread *thread);
/* [hub] A pointer of the host's for each thread, of Lua's too, NULL at first;
 * the library never touches it. To set one may return UV_ENOMEM. */
void *green_thread_data(const struct green_thread *thread);
int green_set_thread_data(struct green_hub *hub, struct green_thread *thread,
                          void *data);

/* [hub] The most of its C stack that the thread has touched, in bytes of whole
 * pages; 0 while it has none. */
size_t green_stack_used(struct green_hub *hub,
                        const struct green_thread *thread);
/* [hub] Bytes left below the caller's frame on the current stack. */
size_t green_stack_left(struct green_hub *hub);

/* [hub] Calls f for each live thread, in no order; f must not spawn, block or
 * close the hub. */
void green_each(struct green_hub *hub,
                void (*f)(struct green_thread *thread, void *arg), void *arg);

/* The counts of a thread while accounting is on. */
struct green_account {
  uint64_t switches;  /* how often it was switched to */
  uint64_t running;   /* ns of real time that it ran */
  uint64_t blocked;   /* ns from the start of each wait until it ran again */
  uint64_t preempted; /* how often it was made to yield; always counted */
  uint64_t queued;    /* ns that it was ready and had no turn */
};
/* [hub] On or off; each switch then reads the clock twice. While somebody
 * measures (green.top in Lua) it is on in any case. */
void green_accounting(struct green_hub *hub, int on);
int green_accounts(struct green_hub *hub); /* is it on? */
/* [hub] The figures so far, zeros if nothing was ever counted, in a struct of
 * that size. */
void green_account_sized(struct green_hub *hub,
                         const struct green_thread *thread,
                         struct green_account *account, size_t size);
#define green_account(hub, thread, account) \
  green_account_sized(hub, thread, account, sizeof(struct green_account))

/* ---------------------------------------------------------- descriptors -- */

#define GREEN_READABLE UV_READABLE
#define GREEN_WRITABLE UV_WRITABLE

/* [thread] Blocks until fd is ready for one event: GREEN_READABLE or
 * GREEN_WRITABLE, here and below, else UV_EINVAL; green_poll() waits for both.
 * The hub watches the descriptor only during the call and leaves its O_NONBLOCK
 * flag alone, so fd may belong to anybody. Regular files are always ready.
 * UV_EBUSY: another thread waits for the same; UV_EBADF: closed, perhaps
 * meanwhile; UV_ENOSPC: the kernel watches no more. */
int green_wait_fd(struct green_hub *hub, int fd, int event, uint64_t deadline);

/* [hub] A descriptor that stays watched between waits, which is faster. Opening
 * the same number again gives the same green_fd, counted. Those still open end
 * with the hub. The descriptor stays the caller's. 0, UV_EBADF or UV_ENOMEM. */
int green_fd_open(struct green_hub *hub, int fd, struct green_fd **out);
int green_fd_number(const struct green_fd *f);

/* [thread] Blocks until ready. UV_EBUSY: another thread reads;
 * green_fd_reader() returns it while it waits, and after its wake-up until it
 * runs. UV_EBADF: closed meanwhile. */
int green_fd_wait(struct green_hub *hub, struct green_fd *f, int event,
                  uint64_t deadline);
struct green_thread *green_fd_reader(struct green_fd *f); /* [hub] */

/* [thread] Blocks until one of n descriptors is ready and returns its index,
 * from 0. UV_EINVAL for more than GREEN_MOST_FDS; UV_EBADF if one is closed
 * meanwhile. */
enum { GREEN_MOST_FDS = 16 };
int green_fd_wait_any(struct green_hub *hub, struct green_fd *const *fds,
                      int n, int event, uint64_t deadline);

/* [thread] Writers take turns: between begin and end, which never switches, a
 * thread has the write side for itself, first come first served. 0; UV_EBADF:
 * closed, perhaps meanwhile. */
int green_fd_write_begin(struct green_hub *hub, struct green_fd *f,
                         uint64_t deadline);
void green_fd_write_end(struct green_hub *hub, struct green_fd *f);

/* [thread] poll(2), for libraries that tell which descriptors they wait for:
 * blocks until some are ready, fills their `revents` and returns how many; or a
 * code. `events` are POLLIN and POLLOUT, else UV_EINVAL; entries with 0, or
 * with a descriptor below 0, are passed over. Each may belong to anybody, and
 * any number of threads may wait for it. A deadline of 0 is for any stack
 * [hub]. */
int green_poll(struct green_hub *hub, struct pollfd *fds, size_t n,
               uint64_t deadline);

/* [hub] Wakes all waiters with UV_EBADF and stops watching; the caller closes
 * the descriptor itself, right after. */
void green_fd_close(struct green_hub *hub, struct green_fd *f);
/* [hub] Gives up one count without waking anybody; the last one closes. */
void green_fd_release(struct green_hub *hub, struct green_fd *f);
/* [hub] The number is about to be closed, or the kernel has just handed it out.
 * Wakes with UV_EBADF all threads that wait for the former descriptor, by a
 * green_fd or by green_wait_fd(). Costs next to nothing when no thread does. */
void green_fd_forget(struct green_hub *hub, int fd);
/* [hub] How often the kernel has refused to watch a descriptor, for its limit
 * or for memory (UV_ENOSPC, UV_ENOMEM of a wait). A server may then pause
 * accepting. */
uint32_t green_fd_refused(struct green_hub *hub);
/* [hub] For a thread that was woken for nothing: the events may come from a
 * former file of that number, which lives on elsewhere. Returns 0, or UV_EBADF
 * if the number belongs to another file by now; f is closed then. */
int green_fd_check(struct green_hub *hub, struct green_fd *f);
/* [hub] Was it closed, in one of these ways? Then the number is somebody
 * else's. */
int green_fd_is_closed(const struct green_fd *f);
/* [hub] Calls room->ready once when there is room to write, whoever waits for
 * that: for bytes that nobody waits to send. It runs on any stack, must not
 * block or close the hub, and may ask again. NULL: nothing is left. A closed f
 * calls nobody. 0 or why the kernel does not watch. */
struct green_room {
  void (*ready)(struct green_hub *hub, struct green_fd *f,
                struct green_room *room);
};
int green_fd_when_room(struct green_hub *hub, struct green_fd *f,
                       struct green_room *room);

/* ------------------------------------------------------------- streams --
 *
 * These try first and wait if they must, on descriptors of any kind; they leave
 * the O_NONBLOCK flag alone. A deadline of 0 is for any stack [hub]: they try
 * and return UV_ETIMEDOUT instead of waiting. One thread at a time may wait to
 * read, else UV_EBUSY; writers take turns. UV_EBADF: the descriptor was closed,
 * perhaps meanwhile; green_close_fd() tells at once, close() in time. */

/* [thread] A connected socket, non-blocking and closed on exec, which is the
 * caller's; or a code. */
int green_connect(struct green_hub *hub, const struct sockaddr *address,
                  socklen_t size, uint64_t deadline);
/* [thread] The same from a listening socket, which it makes non-blocking. If
 * the process runs out of descriptors (UV_EMFILE) or memory, it tries again
 * until the deadline; connections that broke while they waited are passed over.
 */
int green_accept(struct green_hub *hub, int fd, uint64_t deadline);
/* [thread] Reads 1 byte at least and `size`, not 0, at most. Returns how many,
 * 0 at the end of the stream, or a code. */
int64_t green_read(struct green_hub *hub, int fd, void *data, size_t size,
                   uint64_t deadline);
/* [thread] Writes all of it and returns 0, or a code; then *written, if not
 * NULL, tells how much. No SIGPIPE: UV_EPIPE. */
int green_write(struct green_hub *hub, int fd, const void *data, size_t size,
                uint64_t deadline, size_t *written);
/* [hub] Wakes all threads that wait for it with UV_EBADF, and closes it. */
int green_close_fd(struct green_hub *hub, int fd);

/* ---------------------------------------------------------- conditions -- */

/* Threads that wait until a condition of the program's may be true. Zeros are
 * one without waiters; it stays where it is while it has any. */
struct green_signal {
  struct green_link *first, *last;
};
/* [thread] Blocks until another stack signals; the caller then looks at its
 * condition again. */
int green_signal_wait(struct green_hub *hub, struct green_signal *signal,
                      uint64_t deadline);
/* [hub] The first that waits goes on, or all. Returns how many that are. */
int green_signal_one(struct green_hub *hub, struct green_signal *signal);
int green_signal_all(struct green_hub *hub, struct green_signal *signal);

/* -------------------------------------------------------------- limits -- */

/* [thread] Runs fn(hub, arg) under a limit: from the deadline on, what blocks
 * in it returns UV_ECANCELED. Returns what fn does, or UV_ETIMEDOUT if that is
 * this UV_ECANCELED. fn returns: no longjmp(), Lua error or exception leaves
 * it. */
int green_within(struct green_hub *hub, uint64_t deadline, green_fn fn,
                 void *arg);
/* [thread] The reason why blocking calls of the caller return UV_ECANCELED now:
 * nothing does that, its kill, the deadline of a limit, or another scope that
 * was cancelled. */
enum green_why {
  GREEN_BY_NOBODY,
  GREEN_BY_KILL,
  GREEN_BY_LIMIT,
  GREEN_BY_SCOPE
};
int green_why(struct green_hub *hub);

/* ------------------------------------------------------------ look-ups -- */

/* [thread] Blocks until an OS thread of the core's own has done the look-up.
 * Numeric addresses need no thread, and kept answers of earlier look-ups
 * neither a thread nor time: they come even at a deadline of 0. Look-ups are
 * served first come, first served; equal ones share one run, and those that
 * nobody waits for any more delay no others. Returns 0 and a list for
 * green_freeaddrinfo(), or one of libuv's UV_EAI_ codes. */
int green_getaddrinfo(struct green_hub *hub, const char *node,
                      const char *service, const struct addrinfo *hints,
                      uint64_t deadline, struct addrinfo **list);
/* [any] */
void green_freeaddrinfo(struct addrinfo *list);
/* [thread] The same for the name of an address, and that of its port:
 * getnameinfo(3)'s flags and texts. UV_EAI_OVERFLOW: a text is too small; a
 * size of 0: it is not asked for. */
int green_getnameinfo(struct green_hub *hub, const struct sockaddr *address,
                      size_t size, int flags, uint64_t deadline, char *host,
                      size_t host_size, char *service, size_t service_size);
/* [hub] Forgets all kept answers. */
void green_forget_lookups(struct green_hub *hub);

/* ----------------------------------------------------------------- jobs -- */

struct green_job;

/* [thread] Runs run(job, arg) on an OS thread of the hub's own and waits for
 * its end. First come, first served, max_jobs at once; neither look-ups nor
 * libuv's pool are in the way. After 0, *result (may be NULL) is what it
 * returned, and arg is the caller's again. After a code arg is the job's: the
 * caller leaves at once, at its deadline or by an interruption, and
 * dispose(arg) (may be NULL) is called on the hub when the job is over. A job
 * that has not begun never runs; one that runs finds green_job_cancelled().
 * UV_EAGAIN: no OS thread can be made; UV_ENOMEM.
 *
 * green_close() waits for jobs under way, for at most the grace. If one takes
 * longer, its dispose is called on its OS thread, when there is no hub. The
 * code of a job must stay mapped that long (a module: -Wl,-z,nodelete). */
int green_offload(struct green_hub *hub,
                  int (*run)(struct green_job *job, void *arg),
                  void (*dispose)(void *arg), void *arg, uint64_t deadline,
                  int *result);
/* [any] Has the caller left? For loops and progress handlers, in `run`. */
int green_job_cancelled(const struct green_job *job);

/* ------------------------------------------------- from other OS threads -- */

/* [hub] Opens a post, by which other OS threads reach the hub. Its opener holds
 * it until green_post_close(); it may outlive the hub. While one is open, the
 * hub never reports a deadlock and a host's loop stays alive. 0, UV_ENOMEM; for
 * the first one on a hub UV_EMFILE, too: it takes a descriptor. */
int green_post_open(struct green_hub *hub, struct green_post **post);
/* [any] Runs fn(hub, arg) on the hub soon. fn may do what is [hub]. 0, and
 * `arg` is fn's; UV_ENOMEM, or UV_ECANCELED when the hub is closed, and it is
 * still the caller's. */
int green_post_send(struct green_post *post,
                    void (*fn)(struct green_hub *hub, void *arg), void *arg);
/* [hub] Gives the post up, with the opener's hold. Later sends are refused. */
void green_post_close(struct green_hub *hub, struct green_post *post);
/* [any] Counts one more, one less holder of the memory. */
void green_post_hold(struct green_post *post);
void green_post_release(struct green_post *post);

/* ------------------------------------------------------------- messages --
 *
 * A message is a number of bytes, or values that a runtime has packed. It has
 * one owner at a time, who passes it on or frees it. The maker may write to its
 * data until then. A port takes messages from any OS thread to the hub that it
 * was opened on; each arrives once, and those of one sender in order. */

/* [any] A copy of the bytes; with NULL data the bytes are whatever they are.
 * NULL: no memory. */
struct green_message *green_message_new(const void *data, size_t size);
/* [any] */
void *green_message_data(struct green_message *message);
size_t green_message_size(const struct green_message *message);
void green_message_free(struct green_message *message); /* may be NULL */

/* [hub] Opens a port for at most `size` messages at a time (0: no limit), and
 * holds it once. The first one on a hub takes one descriptor for all of them:
 * UV_EMFILE. While a thread waits in a port, the hub reports no deadlock and
 * keeps a host's loop alive, as another OS thread may send or receive. A port
 * outlives the hub, which closes it and frees the messages inside. */
int green_port_open(struct green_hub *hub, uint32_t size,
                    struct green_port **port);

/* [any] Never blocks. 0: the port has taken the message over. Otherwise it is
 * still the caller's: UV_EAGAIN, the port is full; UV_EPIPE, it is closed;
 * UV_EPERM, in a forked child. */
int green_port_send(struct green_port *port, struct green_message *message);

/* [thread] of any hub: as above, but blocks while the port is full. Hubs take
 * turns, and the threads of one hub are served first come, first served. After
 * any code but 0 the message is still the caller's. */
int green_port_send_wait(struct green_hub *hub, struct green_port *port,
                         struct green_message *message, uint64_t deadline);

/* [thread] of the port's hub; [hub] with a deadline of 0: blocks until there is
 * a message, which is then the caller's. First come, first served. UV_EOF: the
 * port is closed, and empty. UV_EPERM: it lives on another hub. */
int green_port_receive(struct green_hub *hub, struct green_port *port,
                       uint64_t deadline, struct green_message **message);

/* [any] From now on it refuses messages; those inside can still be received.
 * Threads that wait for it are woken. Holders still release it. */
void green_port_close(struct green_port *port);
int green_port_is_closed(struct green_port *port);
uint32_t green_port_count(struct green_port *port); /* messages inside */

/* [any] One more holder, one less; the last one frees the port and what is
 * inside. A caller of the above is, or knows, a holder. */
void green_port_hold(struct green_port *port);
void green_port_release(struct green_port *port);

/* ------------------------------------------------------------- overflow -- */

/* [any] From now on, when a green stack overflows, the process prints the name
 * of the thread before it dies of SIGSEGV. UV_EBUSY if the host handles SIGSEGV
 * itself. */
int green_report_overflow(void);

/* ------------------------------------------------------------- watching -- */

/* The lag: how long a thread that has become ready waits for its turn. It is
 * the figure that tells an overloaded loop. The hub times each 64th wake-up. */
struct green_lag {
  uint64_t count, sum;    /* of all that were timed, in ns */
  uint64_t recent;        /* timed in the last 10 to 20 seconds; of them */
  uint64_t p50, p99, max; /* the first two are up to a fifth too high */
};
/* [hub] Fills a struct of that size. */
void green_lag_sized(struct green_hub *hub, struct green_lag *lag,
                     size_t size);
#define green_lag(hub, lag) green_lag_sized(hub, lag, sizeof(struct green_lag))
/* [hub] How many of all lags were below 2^power ns; power up to 64. */
uint64_t green_lag_below(struct green_hub *hub, unsigned power);
uint64_t green_lag_sum(struct green_hub *hub); /* [hub] of all, in ns */

/* What a host may be told of. Any function may be NULL. They run on any stack
 * of the hub's OS thread in the middle of its work: they must not block, raise,
 * jump, or call anything of the hub but green_id(), green_name() and
 * green_status(). `switched` is told of each switch; NULL: the hub's own stack,
 * where it polls, or a thread that has ended. */
struct green_hooks {
  size_t size; /* sizeof(struct green_hooks) */
  void (*spawned)(struct green_hub *hub, struct green_thread *thread,
                  struct green_thread *parent, void *arg);
  void (*switched)(struct green_hub *hub, struct green_thread *from,
                   struct green_thread *to, void *arg);
  /* status: 0, UV_UNKNOWN (failed) or UV_ECANCELED (killed); of a thread of C's
   * what its function returned. */
  void (*ended)(struct green_hub *hub, struct green_thread *thread, int status,
                void *arg);
};
/* [hub] Copies *hooks; NULL: none any more, which costs nothing. UV_EINVAL: the
 * size is not one of this library's. */
int green_set_hooks(struct green_hub *hub, const struct green_hooks *hooks,
                    void *arg);

/* A trace: the newest `events` events of the hub (0: 65,536; 24 bytes each) in
 * a ring, to be drawn as a picture of time. While it is on, each switch reads
 * the clock. [hub] Begins one. UV_EBUSY: one is on; UV_ENOMEM. */
int green_trace_start(struct green_hub *hub, uint32_t events);
int green_trace_running(struct green_hub *hub);
/* [hub] Ends it and passes it on in pieces as Trace Event JSON, for Perfetto
 * and chrome://tracing; put = NULL: drops it. `put` must not raise, or call
 * anything of the hub. 0; UV_ENOENT: none is on; UV_ENOMEM: it is dropped. */
int green_trace_stop(struct green_hub *hub,
                     void (*put)(void *arg, const char *text, size_t length),
                     void *arg);
/* [hub] Entries of the program's own, in the current thread's row. `args` is a
 * JSON object, or NULL. They do nothing while no trace is on. Names are any
 * bytes; their first 1,000 are kept. */
void green_trace_mark(struct green_hub *hub, const char *name,
                      const char *args);
void green_trace_counter(struct green_hub *hub, const char *name,
                         double value);
/* [hub] A stretch of the current thread. NULL: no trace is on, or no memory;
 * ending NULL does nothing. Each span must be ended once, before or after the
 * trace's end, on the hub or after it. */
struct green_span *green_trace_span(struct green_hub *hub, const char *name,
                                    const char *args);
void green_trace_span_end(struct green_hub *hub, struct green_span *span);

/* ---------------------------------------------------------- for tests -- */

/* [hub] Stops the clock of the OS thread. When no thread is ready, it jumps to
 * the next deadline. While threads wait for something outside, `quiet` ns (0: 5
 * ms) of real time without a ready thread must pass first; 100 times that while
 * a look-up is under way. GREEN_DRIVE_MAIN only, else UV_EINVAL; UV_EBUSY:
 * another hub of the OS thread froze the clock. Once thawed, the clock goes on
 * from where it is. green_close() thaws it. */
int green_clock_freeze(struct green_hub *hub, uint64_t quiet);
int green_clock_thaw(struct green_hub *hub);
/* [hub] The quiet time in force; 0: the clock is not frozen. */
uint64_t green_clock_frozen(struct green_hub *hub);

/* [hub] From now on the next thread to run is one of the first 16 ready ones,
 * chosen by the seed. 0: the first, as usual. */
void green_shuffle(struct green_hub *hub, uint64_t seed);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
