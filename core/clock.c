/* clock.c - the time.
 *
 * Owns the clock that deadlines refer to: the monotonic one, or, while a hub
 * has frozen it, a number that changes only when the hub jumps to the next
 * deadline. When the clock is thawed, the difference between the two stays as a
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
 * __tls_get_addr(); the loader has 24 bytes to spare for objects that are
 * opened late. */
static _Thread_local struct {
  uint64_t frozen; /* the time, while it stands still; else 0 */
  uint64_t skew;   /* added to the monotonic clock, modulo 2^64 */
  struct green_hub *owner;
} clock_ __attribute__((tls_model("initial-exec")));

/* A jump goes past the deadline, as any wake-up does. Programs subtract times
 * in seconds, and the difference must not be below the limit that they asked
 * for; a double that holds a year of seconds is 4 ns coarse. */
enum { PAST_NS = 10 };

uint64_t green_now(void) {
  if (green__unlikely(clock_.frozen)) return clock_.frozen;
  return uv_hrtime() + clock_.skew;
}

uint64_t green_in(uint64_t ns) {
  uint64_t now = green_now();
  return ns < GREEN_FOREVER - now ? now + ns : GREEN_FOREVER;
}

#ifdef CLOCK_MONOTONIC_COARSE
uint64_t green__now_coarse(void) {
  struct timespec t;
  if (green__unlikely(clock_.frozen)) return clock_.frozen;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec + clock_.skew;
}
#else
uint64_t green__now_coarse(void) {
  return green_now();
}
#endif

int green_clock_freeze(struct green_hub *h, uint64_t quiet) {
  if (!green__at_home(h)) return UV_EPERM;
  if (h->options.drive != GREEN_DRIVE_MAIN) return UV_EINVAL;
  if (clock_.frozen && clock_.owner != h) return UV_EBUSY;
  clock_.frozen = green_now();
  clock_.owner = h;
  h->frozen = 1;
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
