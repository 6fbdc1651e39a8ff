/* close_test.c - the end of a hub: in bounded time, not while somebody uses it,
 * and its remains when threads would not end.
 *
 * The bugs: closing took as long as all threads that computed, one after the
 * other; threads that would not end went on to run on the host's loop, in a
 * state that was closed; the hub's own loop was freed under a request of the
 * host's; and with a frozen clock the grace never passed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static uv_loop_t loop;

static struct green_hub *open_hub(enum green_drive drive, uint64_t grace) {
  struct green_options o = {.drive = drive, .grace = grace};
  struct green_hub *h;
  if (drive == GREEN_DRIVE_LOOP) {
    o.loop = &loop;
    if (uv_loop_init(&loop) < 0) abort();
  }
  if (green_open(&h, &o) < 0) abort();
  return h;
}

static int loop_is_free(void) {
  uv_run(&loop, UV_RUN_DEFAULT);
  return uv_loop_close(&loop) == 0;
}

static int number(struct green_hub *h, void *arg) {
  (void)h;
  return (int)(intptr_t)arg;
}

static int sleeps(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, GREEN_FOREVER);
}

/* ---------------------------------------------------------------- in use -- */

static atomic_int may_end;
static int after_work;

static void works(uv_work_t *work) {
  struct timespec ms = {0, MS};
  (void)work;
  while (!atomic_load(&may_end)) nanosleep(&ms, NULL);
}

static void worked(uv_work_t *work, int status) {
  (void)work, (void)status;
  after_work++;
}

static void test_request(enum green_drive drive) {
  struct green_hub *h = open_hub(drive, 0);
  static uv_work_t work;
  atomic_store(&may_end, 0);
  after_work = 0;
  green_spawn(h, NULL, sleeps, NULL);
  uv_queue_work(green_loop(h), &work, works, worked);
  CHECK(green_close(h) == UV_EBUSY,
        "a hub is not closed under a request of the host's");
  CHECK(green_live(h) == (drive == GREEN_DRIVE_MAIN ? 2 : 1) &&
            green_spawn(h, NULL, number, NULL) == 0,
        "nothing has happened to it");
  atomic_store(&may_end, 1);
  while (!after_work)
    if (drive == GREEN_DRIVE_MAIN)
      green_sleep(h, green_now() + MS);
    else
      green_step(h, 0);
  CHECK(green_close(h) == 0, "and it can be closed afterwards");
}

static void test_handle(void) {
  struct green_hub *h = open_hub(GREEN_DRIVE_MAIN, 0);
  static uv_timer_t timer;
  uv_timer_init(green_loop(h), &timer);
  CHECK(green_close(h) == UV_EBUSY, "nor under a handle of the host's");
  uv_close((uv_handle_t *)&timer, NULL);
  CHECK(green_close(h) == UV_EBUSY, "before that has been closed");
  green_sleep(h, green_now() + MS);
  CHECK(green_close(h) == 0, "but then");
}

static int begins_work(struct green_hub *h, void *arg) {
  green_sleep(h, GREEN_FOREVER);
  uv_queue_work(green_loop(h), arg, works, worked);
  return 0;
}

static void test_late_request(void) {
  struct green_hub *h = open_hub(GREEN_DRIVE_MAIN, 0);
  static uv_work_t work;
  atomic_store(&may_end, 1);
  after_work = 0;
  green_spawn(h, NULL, begins_work, &work);
  green_sleep(h, 0);
  CHECK(green_close(h) == 0 && after_work == 1,
        "a request that clean-up makes is waited for");
}

static void test_runtime(void) {
  struct green_hub *h = open_hub(GREEN_DRIVE_MAIN, 0);
  struct green_family family;
  green_family_open(h, &family, &green__c_class);
  CHECK(green_close(h) == UV_EBUSY, "nor under a runtime");
  green_family_close(&family);
  CHECK(green_close(h) == 0, "that is open on it");
}

/* --------------------------------------------------------------- bounded -- */

static int slices;

static int mule(struct green_hub *h, void *arg) {
  uint64_t ns = (uint64_t)(uintptr_t)arg;
  for (;;) {
    uint64_t end = uv_hrtime() + ns;
    while (uv_hrtime() < end) continue;
    slices++;
    green_sleep(h, 0); /* UV_ECANCELED, for all it cares */
  }
  return 0;
}

static int reported;

static void on_abandoned(struct green_hub *h, struct green_thread *t) {
  (void)h, (void)t;
  reported++;
}

static const struct green_runtime runtime = {.abandoned = on_abandoned};

/* 20 that compute for 20 ms at a time, a grace of 100 ms: 5 turns, and one that
 * was under way, twice. */
static void test_bounded(enum green_drive drive, const char *sentence) {
  struct green_hub *h = open_hub(drive, 100 * MS);
  int left;
  green_set_runtime(h, &runtime);
  for (int i = 0; i < 20; i++)
    green_spawn(h, NULL, mule, (void *)(uintptr_t)(20 * MS));
  green_config(h)->poll_ms = 10000; /* let all of them start */
  if (drive == GREEN_DRIVE_MAIN)
    green_sleep(h, 0);
  else
    green_step(h, 20);
  green_config(h)->poll_ms = 1;
  slices = reported = 0;
  left = green_close(h);
  CHECK(slices <= 12 && left == 20 && reported == 20, sentence);
  if (drive == GREEN_DRIVE_LOOP && !loop_is_free()) abort();
}

/* The bug: a machine that stood still for as long as the grace left behind
 * threads that only slept. */
static void test_sleepers(enum green_drive drive, const char *sentence) {
  struct green_hub *h = open_hub(drive, 1);
  for (int i = 0; i < 3000; i++) green_spawn(h, NULL, sleeps, NULL);
  if (drive == GREEN_DRIVE_MAIN)
    green_sleep(h, 0);
  else
    while (green_step(h, 0)) continue;
  CHECK(green_close(h) == 0, sentence);
  if (drive == GREEN_DRIVE_LOOP && !loop_is_free()) abort();
}

static void test_frozen(void) {
  struct green_hub *h = open_hub(GREEN_DRIVE_MAIN, 10 * MS);
  green_set_runtime(h, &runtime);
  green_clock_freeze(h, 0);
  green_spawn(h, NULL, mule, NULL);
  green_sleep(h, 0);
  CHECK(green_close(h) == 1, "the grace passes though the clock was frozen");
}

/* --------------------------------------------------------------- retired -- */

static int host_ticks, rounds;

static void on_tick(uv_timer_t *timer) {
  if (++host_ticks == 5) uv_close((uv_handle_t *)timer, NULL);
}

static void on_round(uv_prepare_t *prepare) {
  (void)prepare;
  rounds++;
}

static int stays(struct green_hub *h, void *arg) {
  for (;;) green_wait_fd(h, *(int *)arg, GREEN_READABLE, GREEN_FOREVER);
  return 0;
}

static int sleeps_on(struct green_hub *h, void *arg) {
  (void)arg;
  for (;;) green_sleep(h, green_now() + 1);
  return 0;
}

static void never(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  abort();
}

/* The remains of a hub that left threads behind, on a host's loop that goes on
 * with the host's own timer. */
static void test_retired(void) {
  struct green_hub *h = open_hub(GREEN_DRIVE_LOOP, 5 * MS);
  struct green_thread *t;
  struct green_post *post;
  struct green_fd *f;
  uv_timer_t tick;
  uv_prepare_t prepare;
  int ends[2], quiet[2];
  if (pipe(ends) != 0 || pipe(quiet) != 0) abort();
  uv_prepare_init(&loop, &prepare);
  uv_prepare_start(&prepare, on_round);
  uv_unref((uv_handle_t *)&prepare);
  slices = 0;
  green_set_runtime(h, &runtime);
  green_fd_open(h, ends[0], &f);
  green_post_open(h, &post);
  green_spawn(h, &t, mule, NULL);
  green_spawn(h, NULL, mule, (void *)(uintptr_t)MS);
  green_spawn(h, NULL, sleeps_on, NULL);
  green_spawn(h, NULL, stays, &ends[0]);
  green_spawn(h, NULL, stays, &quiet[0]);
  while (slices < 100) uv_run(&loop, UV_RUN_NOWAIT);
  if (write(ends[1], "x", 1) != 1) abort();
  reported = 0;
  CHECK(green_drain(h) == 5 && reported == 5,
        "threads that will not end are counted and reported");
  slices = host_ticks = rounds = 0;
  CHECK(green_spawn(h, NULL, mule, NULL) == UV_EPERM &&
            green_step(h, 0) == UV_EPERM &&
            green_post_send(post, never, NULL) == UV_ECANCELED &&
            green_alert_open(h) == UV_EPERM,
        "nothing can be begun on such a hub");
  green_wake(h, t, GREEN_WOKEN);
  uv_timer_init(&loop, &tick);
  uv_timer_start(&tick, on_tick, 1, 1);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(slices == 0 && host_ticks == 5 && rounds < 50,
        "the host's loop goes on without them, and ends");
  CHECK(green_live(h) == 5 && !strcmp(green_status(t), "ready"),
        "it can be looked at");
  green_post_close(h, post);
  reported = 0;
  CHECK(green_drain(h) == 5 && reported == 0, "they are reported once");
  CHECK(green_close(h) == 5, "and it can be closed");
  uv_close((uv_handle_t *)&prepare, NULL);
  CHECK(loop_is_free() && slices == 0, "the loop is free afterwards");
  for (int i = 0; i < 2; i++) close(ends[i]), close(quiet[i]);
}

static void test_drained(void) {
  struct green_hub *h = open_hub(GREEN_DRIVE_LOOP, 0);
  struct green_thread *t = NULL;
  int result;
  green_spawn(h, NULL, sleeps, NULL);
  uv_run(&loop, UV_RUN_NOWAIT);
  CHECK(green_drain(h) == 0 && green_spawn(h, &t, number, (void *)7) == 0,
        "after a drain that left none the hub goes on");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(green_join(h, t, 0, &result) == 0 && result == 7,
        "to run what is spawned then");
  green_close(h);
  CHECK(loop_is_free(), "and can be closed");
}

int main(void) {
  test_request(GREEN_DRIVE_MAIN);
  test_request(GREEN_DRIVE_STEP);
  test_handle();
  test_late_request();
  test_runtime();
  test_bounded(GREEN_DRIVE_MAIN, "closing takes the grace twice, no longer");
  test_bounded(GREEN_DRIVE_LOOP, "on a host's loop, too");
  test_bounded(GREEN_DRIVE_STEP, "and in steps");
  test_sleepers(GREEN_DRIVE_MAIN, "threads that sleep end without a grace");
  test_sleepers(GREEN_DRIVE_LOOP, "on a host's loop");
  test_sleepers(GREEN_DRIVE_STEP, "and in steps");
  test_frozen();
  test_retired();
  test_drained();
  return test_end();
}
