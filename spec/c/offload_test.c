/* offload_test.c - jobs on OS threads: their results, their order, their bound,
 * and the end of those whose callers have left.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

#define MS UINT64_C(1000000)

/* What a job has; its memory is the job's. */
struct work {
  atomic_int go; /* 1: it may end */
  int ran, value;
  int *disposed; /* counted, on `home` */
  atomic_int *began;
};

static pthread_t home;
static int disposed_elsewhere;
static atomic_int running, most_running, late_disposals;

static struct work *work(int *disposed, atomic_int *began) {
  struct work *w = calloc(1, sizeof *w);
  if (!w) exit(1);
  w->disposed = disposed;
  w->began = began;
  return w;
}

static void dispose(void *arg) {
  struct work *w = arg;
  if (!pthread_equal(pthread_self(), home)) disposed_elsewhere++;
  ++*w->disposed;
  free(w);
}

static void enter(struct work *w) {
  int now = atomic_fetch_add(&running, 1) + 1,
      most = atomic_load(&most_running);
  while (now > most &&
         !atomic_compare_exchange_weak(&most_running, &most, now))
    ;
  w->ran = !pthread_equal(pthread_self(), home);
  if (w->began) atomic_fetch_add(w->began, 1);
}

/* Runs until it may end, or its caller has left. */
static int run_patient(struct green_job *job, void *arg) {
  struct work *w = arg;
  enter(w);
  while (!atomic_load(&w->go) && !green_job_cancelled(job)) usleep(200);
  atomic_fetch_sub(&running, 1);
  return green_job_cancelled(job) ? -1 : 42;
}

static int run_short(struct green_job *job, void *arg) {
  (void)job;
  enter(arg);
  usleep(1000);
  atomic_fetch_sub(&running, 1);
  return 42;
}

static int run_stubborn(struct green_job *job, void *arg) {
  struct work *w = arg;
  (void)job;
  enter(w);
  while (!atomic_load(&w->go)) usleep(200);
  atomic_fetch_sub(&running, 1);
  return 0;
}

static struct green_hub *open_hub(uint32_t max_jobs) {
  struct green_options o;
  struct green_hub *h;
  memset(&o, 0, sizeof o);
  o.size = sizeof o;
  o.grace = 50 * MS;
  o.max_jobs = max_jobs;
  if (green_open(&h, &o) < 0) exit(1);
  return h;
}

static void wait_for(struct green_hub *h, atomic_int *count, int n) {
  while (atomic_load(count) < n) green_sleep(h, green_now() + MS / 5);
}

/* -------------------------------------------------------------- results -- */

static void test_result(struct green_hub *h) {
  int disposed = 0, result = 0, r;
  struct work *w = work(&disposed, NULL);
  r = green_offload(h, run_short, dispose, w, GREEN_FOREVER, &result);
  CHECK(r == 0 && result == 42 && w->ran && !disposed,
        "a job runs on another OS thread; its result and argument come back");
  free(w);
  w = work(&disposed, NULL);
  r = green_offload(h, run_short, dispose, w, 0, &result);
  CHECK(r == UV_ETIMEDOUT && disposed == 1,
        "with a deadline that has passed nothing runs");
}

/* --------------------------------------------------------------- callers -- */

struct caller {
  int (*run)(struct green_job *job, void *arg);
  struct work *w;
  uint64_t deadline;
  int r, result, *order, place;
};

static int call(struct green_hub *h, void *arg) {
  struct caller *c = arg;
  c->r = green_offload(h, c->run, dispose, c->w,
                       c->deadline ? c->deadline : GREEN_FOREVER, &c->result);
  if (c->order) c->place = ++*c->order;
  if (c->r == 0) free(c->w);
  return 0;
}

static int tick(struct green_hub *h, void *arg) {
  int *ticks = arg;
  while (green_sleep(h, green_now() + MS) == 0) ++*ticks;
  return 0;
}

static void test_many(struct green_hub *h) {
  struct caller c[50];
  struct green_thread *ticker, *t[50];
  int i, good = 0, ticks = 0, disposed = 0;
  atomic_store(&most_running, 0);
  green_spawn(h, &ticker, tick, &ticks);
  for (i = 0; i < 50; i++) {
    memset(&c[i], 0, sizeof c[i]);
    c[i].run = run_short;
    c[i].w = work(&disposed, NULL);
    green_spawn(h, &t[i], call, &c[i]);
  }
  for (i = 0; i < 50; i++) green_join(h, t[i], GREEN_FOREVER, NULL);
  green_kill(h, ticker);
  green_join(h, ticker, GREEN_FOREVER, NULL);
  for (i = 0; i < 50; i++) good += c[i].r == 0 && c[i].result == 42;
  CHECK(good == 50 && !disposed, "fifty threads have a job each");
  CHECK(atomic_load(&most_running) <= 4, "of which max_jobs run at once");
  CHECK(ticks > 0, "while other threads go on");
}

/* One at a time: several end in any order. */
static void test_order(void) {
  struct green_hub *h = open_hub(1);
  struct caller c[10];
  struct green_thread *t[10];
  int i, ordered = 0, order = 0, disposed = 0;
  for (i = 0; i < 10; i++) {
    memset(&c[i], 0, sizeof c[i]);
    c[i].run = run_short;
    c[i].w = work(&disposed, NULL);
    c[i].order = &order;
    green_spawn(h, &t[i], call, &c[i]);
  }
  for (i = 0; i < 10; i++) green_join(h, t[i], GREEN_FOREVER, NULL);
  for (i = 0; i < 10; i++) ordered += c[i].place == i + 1;
  CHECK(ordered == 10, "first come, first served");
  CHECK(green_close(h) == 0, "and closes the hub");
}

static void test_left(struct green_hub *h) {
  struct caller c = {run_patient, NULL, 0, 0, 0, NULL, 0};
  struct green_thread *t;
  atomic_int began = 0;
  int disposed = 0, order = 0;
  uint64_t before;
  c.w = work(&disposed, &began);
  c.order = &order;
  green_spawn(h, &t, call, &c);
  wait_for(h, &began, 1);
  green_kill(h, t);
  before = green_now();
  while (!order) green_sleep(h, 0);
  CHECK(c.r == UV_ECANCELED && green_now() - before < 1000 * MS,
        "a killed caller leaves at once");
  green_join(h, t, GREEN_FOREVER, NULL);
  while (!disposed) green_sleep(h, green_now() + MS / 5);
  CHECK(disposed == 1 && !disposed_elsewhere,
        "its job learns of it, and is disposed of on the hub");
  c.w = work(&disposed, NULL);
  c.deadline = green_now() + 2 * MS;
  call(h, &c);
  while (disposed < 2) green_sleep(h, green_now() + MS / 5);
  CHECK(c.r == UV_ETIMEDOUT && disposed == 2, "so does one at its deadline");
}

static void test_never_begun(struct green_hub *h) {
  struct caller busy[4], c = {run_short, NULL, 0, 0, 0, NULL, 0};
  struct green_thread *t[4], *last;
  atomic_int began = 0, never = 0;
  int i, disposed = 0, order = 0;
  for (i = 0; i < 4; i++) {
    memset(&busy[i], 0, sizeof busy[i]);
    busy[i].run = run_patient;
    busy[i].w = work(&disposed, &began);
    green_spawn(h, &t[i], call, &busy[i]);
  }
  wait_for(h, &began, 4);
  c.w = work(&disposed, &never);
  c.order = &order;
  green_spawn(h, &last, call, &c);
  green_sleep(h, 0);
  green_kill(h, last);
  while (!order || !disposed) green_sleep(h, 0);
  CHECK(disposed == 1 && !atomic_load(&never) && !disposed_elsewhere,
        "a job that has not begun never runs, and is disposed of");
  for (i = 0; i < 4; i++) atomic_store(&busy[i].w->go, 1);
  for (i = 0; i < 4; i++) green_join(h, t[i], GREEN_FOREVER, NULL);
  green_join(h, last, GREEN_FOREVER, NULL);
  CHECK(busy[0].result == 42 && busy[3].result == 42 && disposed == 1,
        "and those before it are not touched");
}

/* Jobs that nobody waits for any more and that hang leave room for others. */
static void test_hanging(struct green_hub *h) {
  struct work *w[4];
  int i, disposed = 0, result = 0;
  atomic_int began = 0;
  struct caller c[4];
  struct green_thread *t[4];

  for (i = 0; i < 4; i++) {
    memset(&c[i], 0, sizeof c[i]);
    c[i].run = run_stubborn;
    c[i].w = w[i] = work(&disposed, &began);
    green_spawn(h, &t[i], call, &c[i]);
  }
  wait_for(h, &began, 4);
  for (i = 0; i < 4; i++) green_kill(h, t[i]);
  for (i = 0; i < 4; i++) green_join(h, t[i], GREEN_FOREVER, NULL);
  {
    struct work *mine = work(&disposed, NULL);
    CHECK(green_offload(h, run_short, dispose, mine, green_now() + 5000 * MS,
                        &result) == 0 &&
              result == 42,
          "jobs that hang, and whose callers have left, hold up no others");
    free(mine);
  }
  for (i = 0; i < 4; i++) atomic_store(&w[i]->go, 1);
  while (disposed < 4) green_sleep(h, green_now() + MS / 5);
}

/* --------------------------------------------------------------- closing -- */

static void test_close(void) {
  struct green_hub *h = open_hub(4);
  struct caller c = {run_patient, NULL, 0, 0, 0, NULL, 0};
  atomic_int began = 0;
  int disposed = 0;
  c.w = work(&disposed, &began);
  green_spawn(h, NULL, call, &c);
  wait_for(h, &began, 1);
  CHECK(green_close(h) == 0 && c.r == UV_ECANCELED && disposed == 1 &&
            !disposed_elsewhere,
        "closing the hub tells jobs to end, and disposes of them");
}

static void dispose_late(void *arg) {
  free(arg);
  atomic_fetch_add(&late_disposals, 1);
}

static struct work *late;

static int call_late(struct green_hub *h, void *arg) {
  (void)arg;
  return green_offload(h, run_stubborn, dispose_late, late, GREEN_FOREVER,
                       NULL);
}

static void test_close_bounded(void) {
  struct green_hub *h = open_hub(4);
  atomic_int began = 0;
  uint64_t before;
  late = work(NULL, &began);
  green_spawn(h, NULL, call_late, NULL);
  wait_for(h, &began, 1);
  before = uv_hrtime();
  CHECK(green_close(h) == 0 && uv_hrtime() - before < 5000 * MS &&
            !atomic_load(&late_disposals),
        "closing waits for a job that hangs no longer than the grace");
  atomic_store(&late->go, 1);
  while (!atomic_load(&late_disposals)) usleep(200);
  CHECK(1, "which is disposed of on its own thread, when it is over");
}

static void test_host(void) {
  struct green_options o;
  struct green_hub *h;
  struct caller c = {run_short, NULL, 0, 0, 0, NULL, 0};
  uv_loop_t loop;
  int disposed = 0;
  memset(&o, 0, sizeof o);
  uv_loop_init(&loop);
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  if (green_open(&h, &o) < 0) exit(1);
  CHECK(green_offload(h, run_short, dispose, work(&disposed, NULL),
                      GREEN_FOREVER, NULL) == UV_EPERM &&
            disposed == 1,
        "the host's stack has no jobs: it would block");
  c.w = work(&disposed, NULL);
  green_spawn(h, NULL, call, &c);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(c.r == 0 && c.result == 42,
        "on a host's loop a job keeps the loop alive until it is over");
  green_close(h);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&loop) == 0, "and no longer");
}

/* ---------------------------------------------------------- short memory -- */

static void test_memory(void) {
  int n, disposed = 0, right = 1, refused = 0;
  for (n = 1; n < 12; n++) {
    struct green_hub *h = open_hub(2);
    struct work *w = work(&disposed, NULL);
    int r, result = 0, before = disposed;
    green__fail_alloc(n);
    r = green_offload(h, run_short, dispose, w, green_now() + 5000 * MS,
                      &result);
    green__fail_alloc(0);
    if (r == 0) free(w);
    right &= r == 0 ? result == 42 && disposed == before
                    : r == UV_ENOMEM && disposed == before + 1;
    refused += r != 0;
    right &= green_close(h) == 0;
  }
  CHECK(right && refused > 0,
        "without memory there is an error, and the argument disposed of");
}

int main(void) {
  struct green_hub *h;
  home = pthread_self();
  alarm(100);
  h = open_hub(4);
  test_result(h);
  test_many(h);
  test_order();
  test_left(h);
  test_never_begun(h);
  test_hanging(h);
  CHECK(green_close(h) == 0, "the hub can be closed");
  test_close();
  test_close_bounded();
  test_host();
  test_memory();
  CHECK(!disposed_elsewhere, "no other was disposed of on another thread");
  return test_end();
}
