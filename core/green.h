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

/* Kills all other threads, lets them clean up for at most the grace twice, and
 * frees the hub. Reports threads that live on, whose stacks stay mapped, on
 * stderr and returns their number. Call it on the main thread or on the host's
 * stack. Does nothing and returns UV_EBUSY while a runtime (a Lua state) is
 * open on the hub, or while the host has handles or requests on a loop of the
 * hub's own. A host's loop must run once more afterwards. */
int green_close(struct green_hub *hub);

/* Kills all other threads and waits for their end, as green_close() does, but
 * keeps the hub. Returns how many it abandoned. If it abandoned any, the caller
 * can still inspect and close the hub, but nothing else, and the hub no longer
 * touches its loop. */
int green_drain(struct green_hub *hub);

/* Polls without blocking and runs ready threads, with further polls in between,
 * until it has made `budget` switches or nothing is ready. 0: until the next
 * poll would be due. Returns 1 while threads are still ready, else 0. For
 * GREEN_DRIVE_STEP and GREEN_DRIVE_LOOP; not from a thread.
 *
 * The loop tells when to step next: uv_backend_timeout(green_loop(hub)) is 0
 * while there is something to do, else the time until there is, and
 * uv_backend_fd() becomes readable when a descriptor or another OS thread has
 * something for the hub. */
int green_step(struct green_hub *hub, uint32_t budget);

uv_loop_t *green_loop(struct green_hub *hub);
/* The reason why the caller cannot use the hub ("in a forked child process",
 * "on another OS thread than the hub's"), or NULL. */
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
uint32_t green_live(struct green_hub *hub);

/* Options in force, to read and (poll_*, budget, grace, max_stacks) change. */
struct green_options *green_config(struct green_hub *hub);
void green_set_max_stacks(struct green_hub *hub, uint32_t max);

/* -------------------------------------------------------------- reports -- */

/* Writes a report on stderr. It never blocks, even if nobody reads stderr.
 * Reports are limited in rate; a later one tells how many were dropped. Control
 * characters are escaped. Any OS thread. */
void green_report(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* The same in two steps, for a text that is expensive to make. begin returns 0
 * if the report is dropped. put cuts a long text, unless `whole`. Only begin
 * checks the rate. */
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
 * what fn returned, or UV_ECANCELED when it was killed before it started. Of a
 * thread of the runtime's (Lua's) nothing is forgotten; *result is 0 when it
 * returned, UV_UNKNOWN when it failed, UV_ECANCELED when it was killed.
 * UV_ESRCH: the thread has ended, and nobody held it. */
int green_join(struct green_hub *hub, struct green_thread *thread,
               uint64_t deadline, int *result);
void green_detach(struct green_hub *hub, struct green_thread *thread);

/* Blocks until the caller is the only live thread. */
int green_wait_others(struct green_hub *hub, uint64_t deadline);

/* Blocks until the deadline. A deadline of 0 lets all others run once. */
int green_sleep(struct green_hub *hub, uint64_t deadline);

/* Marks the thread as killed: every later blocking call in it returns
 * UV_ECANCELED until it ends. One that has not started never runs. Never
 * switches. Returns 1 if the thread was alive, else 0. UV_EPERM on another OS
 * thread than the hub's. */
int green_kill(struct green_hub *hub, struct green_thread *thread);

/* Makes the next blocking call of the thread return `error`, once. Returns 0,
 * or UV_EALREADY while an earlier throw is not delivered. Never switches. */
int green_throw(struct green_hub *hub, struct green_thread *thread, int error);

struct green_thread *green_current(struct green_hub *hub);
struct green_thread *green_main(struct green_hub *hub);
uint64_t green_id(const struct green_thread *thread);
const char *green_name(const struct green_thread *thread); /* "" if none */
int green_set_name(struct green_hub *hub, struct green_thread *thread,
                   const char *name);
const char *green_status(const struct green_thread *thread);
const char *green_waits_for(const struct green_thread *thread); /* or NULL */

/* The most of its C stack that the thread has touched, in bytes of whole pages;
 * 0 while it has none. */
size_t green_stack_used(struct green_hub *hub,
                        const struct green_thread *thread);
/* Bytes left below the caller's frame on the current stack. */
size_t green_stack_left(struct green_hub *hub);

/* Calls f for each live thread, in no order; f must not spawn or block. */
void green_each(struct green_hub *hub,
                void (*f)(struct green_thread *thread, void *arg), void *arg);

/* The counts of a thread while accounting is on. */
struct green_account {
  uint64_t switches; /* how often it was switched to */
  uint64_t running;  /* ns of real time that it ran */
  uint64_t blocked;  /* ns from the start of each wait until it ran again */
};
/* On or off; each switch then reads the clock twice. */
void green_accounting(struct green_hub *hub, int on);
int green_accounts(struct green_hub *hub); /* is it on? */
/* The figures so far; zeros if nothing was ever counted. */
void green_account(struct green_hub *hub, const struct green_thread *thread,
                   struct green_account *account);

/* ---------------------------------------------------------- descriptors -- */

#define GREEN_READABLE UV_READABLE
#define GREEN_WRITABLE UV_WRITABLE

/* Blocks until fd is ready. The hub watches the descriptor only during the call
 * and leaves its O_NONBLOCK flag alone, so fd may belong to anybody. Regular
 * files are always ready. */
int green_wait_fd(struct green_hub *hub, int fd, int event, uint64_t deadline);

/* A descriptor that stays watched between waits, which is faster. Opening the
 * same number again gives the same green_fd, counted. Those still open end with
 * the hub. */
int green_fd_open(struct green_hub *hub, int fd, struct green_fd **out);
int green_fd_number(const struct green_fd *f);

/* Blocks until ready. UV_EBUSY: another thread reads; green_fd_reader() returns
 * it while it waits, and after its wake-up until it runs. UV_EBADF: closed
 * meanwhile. */
int green_fd_wait(struct green_hub *hub, struct green_fd *f, int event,
                  uint64_t deadline);
struct green_thread *green_fd_reader(struct green_fd *f);

/* Blocks until one of n descriptors is ready and returns its index, from 0.
 * UV_EINVAL for more than GREEN_MOST_FDS; UV_EBADF if one is closed meanwhile.
 */
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
/* The number is about to be closed, or the kernel has just handed it out. Wakes
 * with UV_EBADF all threads that wait for the former descriptor, by a green_fd
 * or by green_wait_fd(). Costs next to nothing when no thread does. */
void green_fd_forget(struct green_hub *hub, int fd);
/* How often the kernel has refused to watch a descriptor, for its limit or for
 * memory (UV_ENOSPC, UV_ENOMEM of a wait). A server may then pause accepting.
 */
uint32_t green_fd_refused(struct green_hub *hub);
/* For a thread that was woken for nothing: the events may come from a former
 * file of that number, which lives on elsewhere. Returns 0, or UV_EBADF if the
 * number belongs to another file by now; f is closed then. */
int green_fd_check(struct green_hub *hub, struct green_fd *f);
/* Was it closed, in one of these ways? Then the number is somebody else's. */
int green_fd_is_closed(const struct green_fd *f);

/* Blocks until a thread of the core's own has done the look-up. Numeric
 * addresses need no thread, and kept answers of earlier look-ups neither a
 * thread nor time: they come even at a deadline of 0. Look-ups are served first
 * come, first served; equal ones share one run, and those that nobody waits for
 * any more delay no others. Returns 0 and a list for green_freeaddrinfo(), or
 * one of libuv's UV_EAI_ codes. */
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
/* Forgets all kept answers. Never switches. */
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
/* Any OS thread: counts one more, one less holder of the memory. */
void green_post_hold(struct green_post *post);
void green_post_release(struct green_post *post);

/* From now on, when a green stack overflows, the process prints the name of the
 * thread before it dies of SIGSEGV. UV_EBUSY if the host handles SIGSEGV
 * itself. */
int green_report_overflow(void);

/* ---------------------------------------------------------- for tests -- */

/* Stops the clock of the OS thread. When no thread is ready, it jumps to the
 * next deadline. While threads wait for something outside, `quiet` ns (0: 5 ms)
 * of real time without a ready thread must pass first; 100 times that while a
 * look-up is under way. GREEN_DRIVE_MAIN only, else UV_EINVAL; UV_EBUSY:
 * another hub of the OS thread froze the clock. Once thawed, the clock goes on
 * from where it is. green_close() thaws it. */
int green_clock_freeze(struct green_hub *hub, uint64_t quiet);
int green_clock_thaw(struct green_hub *hub);
/* The quiet time in force; 0: the clock is not frozen. */
uint64_t green_clock_frozen(struct green_hub *hub);

/* From now on the next thread to run is one of the first 16 ready ones, chosen
 * by the seed. 0: the first, as usual. */
void green_shuffle(struct green_hub *hub, uint64_t seed);

#pragma GCC visibility pop

#endif
