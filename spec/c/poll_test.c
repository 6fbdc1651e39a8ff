/* poll_test.c - how long timers, descriptors and a host's loop wait while
 * threads compute, and the state of a loop that is not the hub's own.
 *
 * The bugs: only each 32nd switch read the clock. So two threads that computed
 * for 50 ms between their turns delayed a sleep of 1 ms, and a host's timers,
 * by 3 s; a killed one stopped all others for the whole grace. And a sleeping
 * thread was lost for ever when libuv ran the timers after the check phase
 * (UV_RUN_ONCE; from 1.45 on every mode).
 *
 * Turns are counted, not milliseconds: the machine may be slow.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static int stop, slices, most, quick;

static void compute(uint64_t ns) {
  uint64_t end = uv_hrtime() + ns;
  while (uv_hrtime() < end) continue;
}

/* Computes for 2 ms between its turns. */
static int computes(struct green_hub *h, void *arg) {
  (void)arg;
  while (!stop) {
    compute(2 * MS);
    slices++;
    green_sleep(h, 0);
  }
  return 0;
}

/* Takes turns so quickly that looks at the clock are as rare as possible. */
static int hurries(struct green_hub *h, void *arg) {
  (void)arg;
  while (quick-- > 0) green_sleep(h, 0);
  return 0;
}

/* Remembers the most slices of others between two turns of the caller. */
static void note_turn(void) {
  if (slices > most) most = slices;
  slices = 0;
}

/* A round of three, the slices until the deadline was noticed, and one look
 * more. */
enum { ROUND = 6 };

static int wakes_often(struct green_hub *h, void *arg) {
  (void)arg;
  most = slices = 0;
  for (int i = 0; i < 20; i++) {
    green_sleep(h, green_now() + 500000);
    note_turn();
  }
  stop = 1;
  return 0;
}

static struct green_hub *open_main(void) {
  struct green_hub *h;
  stop = slices = most = 0;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static void test_sleeper(void) {
  struct green_hub *h = open_main();
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, computes, NULL);
  green_spawn(h, NULL, wakes_often, NULL);
  green_wait_others(h, GREEN_FOREVER);
  CHECK(most <= ROUND,
        "three threads that compute delay a sleeper by a round");
  green_close(h);
}

static int waits_for_bytes(struct green_hub *h, void *arg) {
  int *ends = arg;
  char c;
  most = slices = 0;
  for (int i = 0; i < 20; i++) {
    if (write(ends[1], "x", 1) != 1) return 1;
    green_wait_fd(h, ends[0], GREEN_READABLE, GREEN_FOREVER);
    if (read(ends[0], &c, 1) != 1) return 1;
    note_turn();
  }
  stop = 1;
  return 0;
}

static void test_descriptor(void) {
  struct green_hub *h = open_main();
  int ends[2];
  if (pipe(ends) != 0) abort();
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, computes, NULL);
  green_spawn(h, NULL, waits_for_bytes, ends);
  green_wait_others(h, GREEN_FOREVER);
  CHECK(most <= ROUND, "and a thread that waits for a descriptor by no more");
  green_close(h);
  close(ends[0]);
  close(ends[1]);
}

static int once(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  compute(MS);
  slices++;
  return 0;
}

static int turns_slow(struct green_hub *h, void *arg) {
  quick = 1000;
  for (int i = 0; i < 4; i++) green_spawn(h, NULL, hurries, NULL);
  green_sleep(h, green_now() + 20 * MS); /* a poll sleeps */
  for (int i = 0; i < 32; i++) green_spawn(h, NULL, once, NULL);
  slices = 0;
  green_sleep(h, green_now() + 1);
  *(int *)arg = slices;
  return 0;
}

static void test_after_sleep(void) {
  struct green_hub *h = open_main();
  int waited = 100;
  struct green_thread *t;
  green_spawn(h, &t, turns_slow, &waited);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(waited <= 33, "threads that were quick before may compute now");
  green_close(h);
}

static int swallows(struct green_hub *h, void *arg) {
  (void)arg;
  while (quick-- > 0) green_sleep(h, 0);
  while (!stop) {
    compute(2 * MS);
    slices++;
    green_sleep(h, 0); /* UV_ECANCELED, for all it cares */
  }
  return 0;
}

/* At least one poll lies between two rounds of main's; counts the slices
 * without one. */
static int polled_late(struct green_hub *h) {
  struct green_stats s;
  uint64_t polls = 0;
  int late = 0;
  for (int i = 0; i < 40; i++) {
    green_sleep(h, 0);
    green_stats(h, &s);
    late += s.polls == polls;
    polls = s.polls;
  }
  return late;
}

static void test_killed(void) {
  struct green_hub *h = open_main();
  struct green_thread *mule;
  quick = 2000;
  green_spawn(h, &mule, swallows, NULL);
  while (quick > 1) green_sleep(h, 0);
  green_kill(h, mule);
  CHECK(polled_late(h) <= 20,
        "a killed thread that computes does not keep the hub from polling");
  stop = 1;
  green_join(h, mule, GREEN_FOREVER, NULL);
  green_close(h);
}

/* -------------------------------------------------------- a host's loop -- */

static uv_loop_t loop;

static struct green_hub *open_on(uv_loop_t *l) {
  struct green_options o = {0};
  struct green_hub *h;
  o.drive = l ? GREEN_DRIVE_LOOP : GREEN_DRIVE_STEP;
  o.loop = l;
  stop = slices = most = 0;
  if (l && uv_loop_init(l) < 0) abort();
  if (green_open(&h, &o) < 0) abort();
  return h;
}

static int close_both(struct green_hub *h) {
  int left = green_close(h);
  uv_run(&loop, UV_RUN_DEFAULT);
  return left == 0 && uv_loop_close(&loop) == 0;
}

static int ticks;

static void on_tick(uv_timer_t *timer) {
  note_turn();
  if (++ticks < 20) return;
  stop = 1;
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_host(void) {
  struct green_hub *h = open_on(&loop);
  uv_timer_t tick;
  ticks = 0;
  uv_timer_init(&loop, &tick);
  uv_timer_start(&tick, on_tick, 1, 1);
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, computes, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(most <= ROUND, "a host's loop has its turn after each that computes");
  CHECK(close_both(h), "hub and loop can be closed");
}

static int slept;

static int sleeper(struct green_hub *h, void *arg) {
  (void)arg;
  for (slept = 0; slept < 20; slept++)
    if (green_sleep(h, green_now() + 1500000) < 0) break;
  return 0;
}

/* The deadline passes while this works, so that the loop finds it over. */
static void on_check(uv_check_t *check) {
  (void)check;
  compute(2 * MS);
}

/* Before the hub's own handles, after them, or not at all. */
static void lost_timer(uv_run_mode mode, int place) {
  struct green_options o = {.drive = GREEN_DRIVE_LOOP, .loop = &loop};
  struct green_hub *h;
  uv_check_t check;
  uv_loop_init(&loop);
  uv_check_init(&loop, &check);
  if (place == 1) uv_check_start(&check, on_check);
  if (green_open(&h, &o) < 0) abort();
  if (place == 2) uv_check_start(&check, on_check);
  uv_unref((uv_handle_t *)&check);
  green_spawn(h, NULL, sleeper, NULL);
  do uv_run(&loop, mode);
  while (green_live(h) && uv_loop_alive(&loop));
  CHECK(slept == 20, "a loop of a host's is alive while a thread sleeps");
  uv_close((uv_handle_t *)&check, NULL);
  CHECK(close_both(h), "and is free afterwards");
}

static void test_lost_timer(void) {
  for (int place = 0; place < 3; place++) {
    lost_timer(UV_RUN_DEFAULT, place);
    lost_timer(UV_RUN_ONCE, place);
    lost_timer(UV_RUN_NOWAIT, place);
  }
}

/* ---------------------------------------------------------------- steps -- */

static int laps(struct green_hub *h, void *arg) {
  (void)arg;
  while (!stop) green_sleep(h, 0);
  return 0;
}

static uint64_t switches(struct green_hub *h) {
  struct green_stats s;
  green_stats(h, &s);
  return s.switches;
}

static void test_step_budget(void) {
  static const uint32_t budgets[] = {1, 31, 32, 33, 255, 256, 257, 1000, 5000};
  struct green_hub *h = open_on(NULL);
  int exact = 1;
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, laps, NULL);
  for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
    uint64_t before = switches(h);
    exact &= green_step(h, budgets[i]) == 1;
    exact &= switches(h) - before == budgets[i];
  }
  CHECK(exact, "a step makes as many switches as it was given");
  green_shuffle(h, 1);
  uint64_t before = switches(h);
  CHECK(green_step(h, 777) == 1 && switches(h) - before == 777,
        "in whatever order");
  stop = 1;
  CHECK(green_step(h, 777) == 0, "and fewer when nothing is ready any more");
  green_close(h);
}

static int step_in_callback;

static void on_step_timer(uv_timer_t *timer) {
  step_in_callback = green_step(timer->data, 0);
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_step_places(void) {
  struct green_hub *h = open_on(NULL);
  uv_timer_t timer;
  uv_timer_init(green_loop(h), &timer);
  timer.data = h;
  uv_timer_start(&timer, on_step_timer, 0, 0);
  green_step(h, 0);
  green_step(h, 0);
  CHECK(step_in_callback == UV_EPERM, "a callback within a step cannot step");
  green_close(h);
  h = open_main();
  CHECK(green_step(h, 0) == UV_EPERM, "nor can a main green thread");
  green_close(h);
}

/* Acts as a host without other work: sleeps for the given time, steps, and so
 * on. Returns how many steps it took. */
static int step_as_told(struct green_hub *h) {
  uv_loop_t *l = green_loop(h);
  struct pollfd p = {uv_backend_fd(l), POLLIN, 0};
  int steps = 0;
  while (green_live(h)) {
    if (!uv_loop_alive(l)) return -1;
    poll(&p, 1, uv_backend_timeout(l));
    green_step(h, 0);
    steps++;
  }
  return steps;
}

static int writes_later(struct green_hub *h, void *arg) {
  green_sleep(h, green_now() + 20 * MS);
  return write(*(int *)arg, "x", 1) != 1;
}

static int reads_then_sleeps(struct green_hub *h, void *arg) {
  char c;
  green_wait_fd(h, *(int *)arg, GREEN_READABLE, GREEN_FOREVER);
  if (read(*(int *)arg, &c, 1) != 1) return 1;
  return green_sleep(h, green_now() + 20 * MS);
}

static void test_step_told(void) {
  struct green_hub *h = open_on(NULL);
  int ends[2], steps;
  if (pipe(ends) != 0) abort();
  green_spawn(h, NULL, writes_later, &ends[1]);
  green_spawn(h, NULL, reads_then_sleeps, &ends[0]);
  CHECK(uv_backend_timeout(green_loop(h)) == 0,
        "the loop of a hub that is stepped tells that threads are ready");
  green_step(h, 0);
  steps = step_as_told(h);
  CHECK(steps > 0 && steps < 20,
        "and when the next deadline or descriptor wants a step");
  green_close(h);
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  test_sleeper();
  test_descriptor();
  test_after_sleep();
  test_killed();
  test_host();
  test_lost_timer();
  test_step_budget();
  test_step_places();
  test_step_told();
  return test_end();
}
