/* budget_test.c - how many calls of a turn need not wait. The clock is frozen,
 * and the hub's last reading of it tells how long a turn took.
 *
 * SPDX-License-Identifier: MIT
 */
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000, MANY = 100 };

static struct green_hub *open_hub(uint32_t budget) {
  struct green_options o = {.drive = GREEN_DRIVE_MAIN, .budget = budget};
  struct green_hub *h;
  if (green_open(&h, &o) != 0 || green_clock_freeze(h, 0) != 0) abort();
  return h;
}

static void close_hub(struct green_hub *h) {
  green_clock_thaw(h);
  green_close(h);
}

/* A thread used its calls up in as many ms. The last look was before its turn,
 * or `ago` turns before. */
static int32_t after(struct green_hub *h, uint64_t ms, uint32_t ago) {
  h->real = green_now() - ms * MS;
  h->step = 32;
  h->tick = h->step - ago;
  green_budget_spent(h);
  return h->calls;
}

/* Turns of 1 ms until all calls are given again. */
static int recovers(struct green_hub *h) {
  int n = 0;
  while (h->calls < h->most_calls && n < MANY) after(h, 1, 0), n++;
  return n;
}

static void test_slow(struct green_hub *h) {
  int32_t before;
  CHECK(h->calls == 64 && after(h, 1, 0) == 64 && after(h, 9, 0) == 64,
        "a turn has 64 calls that need not wait, while that many are quick");
  CHECK(after(h, 320, 0) == 2,
        "where they took 320 ms, turns have as many as fit into 10");
  CHECK(after(h, 9, 0) == 2, "which hold while turns take about so long");
  CHECK(after(h, 1000, 0) == 1 && after(h, 1000, 0) == 1,
        "where one call takes longer, turns have one");
  before = h->calls;
  after(h, 1, 0);
  CHECK(h->calls - before == 1 && recovers(h) < 30 && h->calls == 64,
        "each quick turn adds some, and about 25 all");
}

static void test_others(struct green_hub *h) {
  CHECK(after(h, 320, 7) == 64 && h->stride == 1 && h->tick == 1,
        "time that others may have taken shortens no turn, but has the next "
        "ones looked at");
}

static void test_option(struct green_hub *h) {
  after(h, 320, 0);
  green_config(h)->budget = 1000;
  CHECK(after(h, 1, 0) == 1000, "a new budget holds when the old is used up");
  after(h, 1000, 0);
  green_config(h)->budget = 3;
  CHECK(after(h, 1, 0) == 3 && after(h, 20, 0) == 1 && recovers(h) == 2,
        "turns have at most the calls of the option");
}

static void test_wide(void) {
  struct green_hub *h = open_hub(INT32_MAX);
  CHECK(after(h, 20, 0) == INT32_MAX / 2 && recovers(h) < MANY &&
            h->calls == INT32_MAX,
        "a very large budget is shortened, and recovers");
  close_hub(h);
}

static int rings;

static int rings_bell(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  rings++;
  return 0;
}

/* How many calls, until the other thread has had its turn. */
static int never_waits(struct green_hub *h, void *arg) {
  int n;
  for (n = 0; !rings; n++)
    if (green_fd_write_begin(h, arg, GREEN_FOREVER) == 0)
      green_fd_write_end(h, arg);
  return n;
}

static int calls_of_turn(struct green_hub *h, struct green_fd *f) {
  struct green_thread *t;
  int n = 0;
  rings = 0;
  if (green_spawn(h, &t, never_waits, f) != 0) abort();
  if (green_spawn(h, NULL, rings_bell, NULL) != 0) abort();
  green_join(h, t, GREEN_FOREVER, &n);
  return n;
}

static void test_turn(void) {
  struct green_hub *h = open_hub(0);
  struct green_fd *f;
  int ends[2];
  if (pipe(ends) != 0 || green_fd_open(h, ends[1], &f) != 0) abort();
  CHECK(calls_of_turn(h, f) == 65, "a thread gives way before its 65th call");
  after(h, 320, 0);
  CHECK(calls_of_turn(h, f) == 3, "or before its third, where they were slow");
  green_fd_close(h, f);
  close(ends[0]);
  close(ends[1]);
  close_hub(h);
}

int main(void) {
  struct green_hub *h = open_hub(0);
  test_slow(h);
  test_others(h);
  test_option(h);
  close_hub(h);
  test_wide();
  test_turn();
  return test_end();
}
