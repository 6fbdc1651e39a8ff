/* budget.c - how many calls of a turn need not wait.
 *
 * A thread whose calls never have to wait goes to the end of the queue after
 * options.budget of them. That takes microseconds, but 320 ms for one that
 * computes 5 ms between two calls. So a thread that took long for its calls
 * makes the next turns shorter, of all threads: few programs have only one such
 * thread. Each thread that used its calls up quickly makes them longer again,
 * bit by bit, as it may have its turn between two that compute.
 *
 * Owns h->calls, from 1 to the option. Only laps look at the clock, as a call
 * may cost nothing: a turn that ended by a wait was bounded by what there was
 * to do.
 *
 * A green thread's stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

/* A turn may take as long: few machines give a process less at a time, so noise
 * changes little. At 20 us between two calls a turn of 64 takes 1.3 ms. */
enum { LONG_NS = 10000000 };

void green_budget_set(struct green_hub *h) {
  uint32_t n = h->options.budget;
  h->calls = h->most_calls = n < INT32_MAX ? (int32_t)n : INT32_MAX;
}

/* As many as fit into LONG_NS. */
static void shorten(struct green_hub *h, uint64_t ran) {
  h->calls = (int32_t)((uint64_t)h->calls * LONG_NS / ran);
  if (h->calls < 1) h->calls = 1;
  assert(h->calls <= h->most_calls);
}

static void lengthen(struct green_hub *h) {
  int32_t more = h->calls / 8 + 1, left = h->most_calls - h->calls;
  assert(left >= 0);
  h->calls += more < left ? more : left;
}

/* Most laps read the kernel's coarse clock, in a tenth of a call's time. If the
 * last look was some switches ago, other threads may have computed since: then
 * the next lap will tell. */
void green_budget_spent(struct green_hub *h) {
  uint64_t ran;
  if (h->most_calls != (int32_t)h->options.budget) green_budget_set(h);
  if (h->calls == h->most_calls && green__real_coarse(h) <= h->real + LONG_NS)
    return;
  ran = green__real(h) - h->real;
  if (ran < LONG_NS / 2)
    lengthen(h);
  else if (ran > LONG_NS && h->tick == h->step)
    shorten(h, ran);
  else if (ran > LONG_NS)
    green__look_soon(h);
}
