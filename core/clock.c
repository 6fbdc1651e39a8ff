/* clock.c - the time.
 *
 * Owns the clock that deadlines refer to: the monotonic one; or, while a hub
 * has frozen it, a number that changes only when the hub jumps to the next
 * deadline; or, while the threads of a hub with a clock of the host's run, that
 * one. When the clock is thawed, the difference between the two stays as a
 * skew, so green_now() never runs backwards.
 *
 * The state belongs to the OS thread, as a hub does: green_now() has no hub to
 * ask. Any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include <time.h>

#include "internal.h"

/* initial-exec: the default model of a shared object costs a call of
 * __tls_get_addr(); the loader has some room for objects that are opened
 * late. */
static _Thread_local struct {
  uint64_t frozen; /* the time, while it stands still; else 0 */
  uint64_t skew;   /* added to the monotonic clock, modulo 2^64 */
  struct green_hub *owner;
  struct green_hub *running; /* in a step, and has a clock of the host's */
} clock_ __attribute__((tls_model("initial-exec")));

/* A jump goes past the deadline, as any wake-up does. Programs subtract times
 * in seconds, and the difference must not be below the limit that they asked
 * for; a double that holds a year of seconds is 4 ns coarse. */
enum { PAST_NS = 10 };

/* That of hubs without a clock of the host's. */
static uint64_t plain(void) {
  if (green__unlikely(clock_.frozen)) return clock_.frozen;
  return uv_hrtime() + clock_.skew;
}

/* Deadlines would be missed if it went back, so it stands still instead. */
static uint64_t ask_host(struct green_hub *h) {
  uint64_t now = h->options.clock(h->options.clock_arg);
  if (now > h->host_time) h->host_time = now;
  return h->host_time;
}

uint64_t green_now(void) {
  if (green__unlikely(clock_.running != NULL)) return ask_host(clock_.running);
  return plain();
}

uint64_t green_time(struct green_hub *h) {
  return green__unlikely(h->options.clock != NULL) ? ask_host(h) : plain();
}

uint64_t green__real(struct green_hub *h) {
  return green__unlikely(h->options.clock != NULL) ? uv_hrtime() : plain();
}

void green__read_clock(struct green_hub *h) {
  h->now = h->real = plain();
  if (green__likely(!h->options.clock)) return;
  h->now = ask_host(h);
  h->real = uv_hrtime();
}

uint64_t green__stamp(const struct green_hub *h) {
  if (green__unlikely(h->options.clock || clock_.frozen)) return uv_hrtime();
  return h->real - clock_.skew;
}

struct green_hub *green__clock_enter(struct green_hub *h) {
  struct green_hub *before = clock_.running;
  clock_.running = h->options.clock ? h : NULL;
  return before;
}

void green__clock_leave(struct green_hub *before) {
  clock_.running = before;
}

uint64_t green_in(uint64_t ns) {
  uint64_t now = green_now();
  return ns < GREEN_FOREVER - now ? now + ns : GREEN_FOREVER;
}

#ifdef CLOCK_MONOTONIC_COARSE
static uint64_t coarse(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
#else
static uint64_t coarse(void) {
  return uv_hrtime();
}
#endif

uint64_t green__time_coarse(struct green_hub *h) {
  if (h->options.clock || clock_.frozen) return green_time(h);
  return coarse() + clock_.skew;
}

uint64_t green__real_coarse(struct green_hub *h) {
  if (h->options.clock) return coarse();
  return clock_.frozen ? clock_.frozen : coarse() + clock_.skew;
}

int green_clock_freeze(struct green_hub *h, uint64_t quiet) {
  if (!green__at_home(h)) return UV_EPERM;
  if (h->options.drive != GREEN_DRIVE_MAIN) return UV_EINVAL;
  if (clock_.frozen && clock_.owner != h) return UV_EBUSY;
  clock_.frozen = green_now();
  clock_.owner = h;
  h->frozen = 1;
  green_budget_set(h); /* a test's turns do not depend on what was before */
  h->quiet = quiet ? quiet : UINT64_C(5000000);
  return 0;
}

int green_clock_thaw(struct green_hub *h) {
  if (!h->frozen) return 0;
  assert(clock_.owner == h);
  clock_.skew = clock_.frozen - uv_hrtime();
  clock_.frozen = 0;
  clock_.owner = NULL;
  h->frozen = 0;
  return 0;
}

uint64_t green_clock_frozen(struct green_hub *h) {
  return h->frozen ? h->quiet : 0;
}

void green__clock_jump(uint64_t deadline) {
  assert(clock_.frozen);
  if (deadline > clock_.frozen) clock_.frozen = deadline + PAST_NS;
}
