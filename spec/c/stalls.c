/* stalls.c - a library for tests, to be preloaded: a machine that stands still.
 *
 *   LD_PRELOAD=$PWD/build/spec/stalls.so lua5.4 ...
 *
 * A virtual machine whose host is busy gets no processor for a while, wherever
 * its programs are. Here a signal comes to the OS thread that runs main, and
 * its handler lets 20 to 300 ms pass; other OS threads and processes go on, as
 * those on another processor do. A test that sleeps and hopes fails under it,
 * and one that waits for its condition does not. The first runs found a dozen
 * that hoped.
 *
 * Programs that are not ours go on, too: they would only make a run longer. So
 * do forked children, which inherit no timer.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Neither the library nor its specs use it. */
#define SIGNAL (SIGRTMAX - 3)

static int timer;      /* the kernel's number */
static uint64_t state; /* xorshift64 */

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t random_ns(unsigned least_ms, unsigned most_ms) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (least_ms + (state >> 11) % (most_ms - least_ms)) * 1000000;
}

static void arm(void) {
  struct itimerspec once = {{0, 0}, {0, 0}};
  once.it_value.tv_nsec = (long)random_ns(20, 520);
  syscall(SYS_timer_settime, timer, 0, &once, NULL);
}

/* Burns the time, as preemption counts that of the processor. */
static void stand_still(int number) {
  int saved = errno;
  uint64_t end = now() + random_ns(20, 300);
  (void)number;
  while (now() < end)
    ;
  arm();
  errno = saved;
}

static int is_ours(void) {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = '\0';
  return strstr(path, "/spec/") || strncmp(strrchr(path, '/'), "/lua", 4) == 0;
}

/* By number, since timer_create() of older C libraries wants -lrt. */
static int make_timer(void) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGNAL;
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  return (int)syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction action;
  if (!is_ours()) return;
  state = now() ^ (uint64_t)getpid() << 32;
  memset(&action, 0, sizeof action);
  action.sa_handler = stand_still;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(SIGNAL, &action, NULL);
  if (make_timer() == 0) arm();
}
