/* reserve_test.c - the reserves of clean-up when nothing is left, and the
 * leftovers of a burst.
 *
 * The bugs: at max_stacks, or when memory was short, the clean-up of a killed
 * thread failed where it had to wait, and main could not even wait for others;
 * a burst of 10,000 threads kept four fifths of its memory for ever.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static uint64_t in_ms(uint64_t ms) {
  return green_now() + ms * MS;
}

static struct green_hub *open_hub(uint32_t max_stacks) {
  struct green_options o = {.max_stacks = max_stacks};
  struct green_hub *h;
  if (green_open(&h, &o) < 0) abort();
  h->trim_ms = 300;
  return h;
}

static void no_memory(int none) {
  green__fail_allocs(1, none ? LONG_MAX : 0);
}

/* -------------------------------------------------------------- clean-up -- */

static int naps(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, in_ms(100000));
}

/* Cleans up for two naps when it is struck. */
static int cleans_up(struct green_hub *h, void *arg) {
  struct green_scope shield;
  int r = green_sleep(h, in_ms(100000)), *good = arg;
  if (r != UV_ECANCELED) return r;
  if (green_scope_open(h, &shield, GREEN_SHIELD, in_ms(1000)) < 0) return 1;
  r = green_sleep(h, in_ms(1));
  if (r == 0) r = green_sleep(h, in_ms(1));
  green_scope_close(h, &shield);
  *good += r == 0;
  return r;
}

static int in_scope(struct green_hub *h, void *arg) {
  struct green_scope scope;
  green_scope_open(h, &scope, GREEN_SCOPE_TIMEOUT, in_ms(1));
  cleans_up(h, arg);
  green_scope_close(h, &scope);
  return 0;
}

/* Takes stacks until there are no more. Returns how many threads took one. */
static int exhaust(struct green_hub *h) {
  struct green_stats s;
  int n = 0;
  do {
    uint32_t kept = (green_stats(h, &s), s.kept);
    if (green_spawn(h, NULL, naps, NULL) < 0) abort();
    green_sleep(h, 0);
    green_stats(h, &s);
    if (s.kept == kept) break;
  } while (n++ < 100000);
  return n;
}

static void test_at_limit(void) {
  struct green_hub *h = open_hub(20);
  struct green_thread *t[4];
  int good = 0;
  for (int i = 0; i < 3; i++) green_spawn(h, &t[i], cleans_up, &good);
  green_spawn(h, &t[3], in_scope, &good);
  green_sleep(h, 0);
  CHECK(exhaust(h) < 20, "stacks are limited");
  CHECK(green_sleep(h, in_ms(1)) == 0, "main can wait all the same");
  for (int i = 0; i < 3; i++) green_kill(h, t[i]);
  for (int i = 0; i < 4; i++) green_join(h, t[i], GREEN_FOREVER, NULL);
  CHECK(good == 4, "and so can threads that clean up");
  CHECK(green_close(h) == 0, "all can be ended");
}

static void test_no_memory(void) {
  struct green_hub *h = open_hub(0);
  struct green_thread *t[4];
  struct green_stats s;
  int good = 0, spawned = 0;
  for (int i = 0; i < 3; i++) green_spawn(h, &t[i], cleans_up, &good);
  green_spawn(h, &t[3], in_scope, &good);
  green_sleep(h, 0);
  no_memory(1);
  spawned = exhaust(h);
  green_stats(h, &s);
  CHECK(spawned < 1000 && s.timers > 5, "memory is gone");
  CHECK(green_sleep(h, in_ms(1)) == 0, "main can wait all the same");
  for (int i = 0; i < 3; i++) green_kill(h, t[i]);
  for (int i = 0; i < 4; i++) green_join(h, t[i], GREEN_FOREVER, NULL);
  CHECK(good == 4, "threads that clean up have stacks, and limits");
  CHECK(green_close(h) == 0, "all can be ended");
  no_memory(0);
}

static void test_first_wait(void) {
  struct green_hub *h = open_hub(0);
  int r;
  no_memory(1);
  r = green_sleep(h, in_ms(1));
  no_memory(0);
  CHECK(r == 0, "main can wait though memory was gone when it first did");
  green_close(h);
}

/* ----------------------------------------------------------------- burst -- */

static int holds(struct green_hub *h, void *arg) {
  char touched[6000];
  memset(touched, 1, sizeof touched);
  green_sleep(h, (uint64_t)(uintptr_t)arg);
  return touched[100] != 1;
}

static uint64_t memory(struct green_hub *h) {
  struct green_stats s;
  green_stats(h, &s);
  return s.memory;
}

static void test_counted(void) {
  struct green_hub *h = open_hub(0);
  uint64_t before = memory(h), most;
  for (int i = 0; i < 3000; i++) green_spawn(h, NULL, naps, NULL);
  most = memory(h);
  CHECK(before > 1000 && most >= before + 300000,
        "the memory of the library is counted");
  green_close(h);
  h = open_hub(0);
  CHECK(memory(h) <= before, "that of a closed hub no more");
  green_close(h);
}

/* KB of the process in memory, page tables included. */
static long resident(void) {
  char line[200];
  long kb, sum = 0;
  FILE *f = fopen("/proc/self/status", "r");
  if (!f) return 0;
  while (fgets(line, sizeof line, f))
    if (sscanf(line, "VmRSS: %ld", &kb) == 1 ||
        sscanf(line, "VmPTE: %ld", &kb) == 1)
      sum += kb;
  fclose(f);
  return sum;
}

static int none(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  return 0;
}

/* Returns the most KB that were seen. */
static long burst(struct green_hub *h) {
  uint64_t end = in_ms(500);
  uint32_t before = green_live(h);
  long most;
  for (int i = 0; i < 5000; i++)
    green_spawn(h, NULL, holds, (void *)(uintptr_t)end);
  for (int i = 0; i < 100000; i++) green_spawn(h, NULL, none, NULL);
  green_sleep(h, 0);
  most = resident();
  while (green_live(h) > before) green_sleep(h, in_ms(5));
  return most;
}

/* Waits for a condition, as the machine may be slow: 30 s at most. */
static int falls_below(struct green_hub *h, long kb) {
  uint64_t limit = in_ms(30000);
  while (resident() > kb && green_now() < limit) green_sleep(h, in_ms(100));
  return resident() <= kb;
}

static int is_small(struct green_hub *h, uint64_t least) {
  uint64_t limit = in_ms(30000);
  struct green_stats s;
  do green_sleep(h, in_ms(10)), green_stats(h, &s);
  while ((s.stacks > 200 || s.memory > least) && green_now() < limit);
  return s.stacks <= 200 && s.memory <= least;
}

static void test_burst(void) {
  struct green_hub *h = open_hub(0);
  long before, most;
  uint64_t least;
  green_spawn(h, NULL, naps, NULL);
  green_sleep(h, in_ms(1));
  before = resident();
  least = memory(h);
  for (int i = 0; i < 2; i++) {
    struct green_thread *stays;
    most = burst(h) - before;
    green_spawn(h, &stays, naps, NULL);
    green_sleep(h, 0);
    if (!CHECK(falls_below(h, before + most / 10),
               "a tenth of the memory of a burst stays, or less"))
      printf("# %ld, %ld, %ld KB\n", before, most, resident());
    CHECK(is_small(h, least + 200000),
          "of stacks, records and room for deadlines");
    green_kill(h, stays);
    green_join(h, stays, GREEN_FOREVER, NULL);
  }
  green_close(h);
}

/* The hub never sleeps, and does not have to. */
static int spins(struct green_hub *h, void *arg) {
  struct green_stats s;
  do {
    green_sleep(h, 0);
    green_stats(h, &s);
  } while (s.stacks > 200 && green_now() < *(uint64_t *)arg);
  return 0;
}

/* The timer on a host's loop must not keep it alive. */
static void test_not_alive(void) {
  struct green_options o = {.drive = GREEN_DRIVE_LOOP};
  struct green_hub *h;
  uv_loop_t loop;
  uint64_t end = in_ms(100), began;
  if (uv_loop_init(&loop) < 0) abort();
  o.loop = &loop;
  if (green_open(&h, &o) < 0) abort();
  for (int i = 0; i < 200; i++)
    green_spawn(h, NULL, holds, (void *)(uintptr_t)end);
  began = green_now();
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(uv_is_active((uv_handle_t *)&h->trim) &&
            green_now() - began < UINT64_C(4000) * MS,
        "what is given back later does not keep a host's loop alive");
  green_close(h);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
}

static void test_busy(void) {
  struct green_hub *h = open_hub(0);
  struct green_stats s;
  uint64_t limit;
  burst(h);
  limit = in_ms(30000);
  green_spawn(h, NULL, spins, &limit);
  green_wait_others(h, GREEN_FOREVER);
  green_stats(h, &s);
  CHECK(s.stacks <= 200, "also while the hub is never idle");
  green_close(h);
}

/* A host that has something to do itself. */
static void on_host_timer(uv_timer_t *timer) {
  (void)timer;
}

static void test_host(enum green_drive drive, const char *sentence) {
  struct green_options o = {.drive = drive};
  struct green_hub *h;
  struct green_stats s;
  uv_loop_t loop;
  uv_timer_t timer;
  uint64_t limit = in_ms(30000), end = in_ms(200);
  if (uv_loop_init(&loop) < 0) abort();
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_host_timer, 1, 1);
  if (drive == GREEN_DRIVE_LOOP) o.loop = &loop;
  if (green_open(&h, &o) < 0) abort();
  h->trim_ms = 300;
  for (int i = 0; i < 1000; i++)
    green_spawn(h, NULL, holds, (void *)(uintptr_t)end);
  do {
    struct timespec ms = {0, MS};
    if (drive == GREEN_DRIVE_LOOP)
      uv_run(&loop, UV_RUN_NOWAIT);
    else
      green_step(h, 0);
    nanosleep(&ms, NULL);
    green_stats(h, &s);
  } while ((s.live || s.stacks > 200) && green_now() < limit);
  CHECK(s.stacks <= 200, sentence);
  uv_close((uv_handle_t *)&timer, NULL);
  green_close(h);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
}

int main(void) {
  test_at_limit();
  test_no_memory();
  test_first_wait();
  test_counted();
  if (SANITIZED || RUNNING_ON_VALGRIND) {
    SKIP("a burst leaves little behind", "a checker is at work");
    return test_end();
  }
  test_burst();
  test_busy();
  test_not_alive();
  test_host(GREEN_DRIVE_LOOP, "on a host's loop, too");
  test_host(GREEN_DRIVE_STEP, "and in steps");
  return test_end();
}
