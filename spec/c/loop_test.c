/* loop_test.c - green threads on a loop that is not the hub's to run: a host's
 * uv_loop_t, and green_step().
 *
 * SPDX-License-Identifier: MIT
 */
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static uv_loop_t loop;

static struct green_hub *open_on_loop(void) {
  struct green_options o = {0};
  struct green_hub *h;
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  if (uv_loop_init(&loop) < 0 || green_open(&h, &o) < 0) abort();
  return h;
}

/* The handles' memory is given back while the host's loop goes on. */
static int close_both(struct green_hub *h) {
  int left = green_close(h);
  uv_run(&loop, UV_RUN_DEFAULT);
  return left == 0 && uv_loop_close(&loop) == 0;
}

static uint64_t in_ms(uint64_t ms) {
  return green_now() + ms * MS;
}

/* -------------------------------------------------------- a host's loop -- */

static int ran;

static int runs(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  ran++;
  return 0;
}

static int sleeps(struct green_hub *h, void *arg) {
  int times = (int)(intptr_t)arg;
  for (int i = 0; i < times; i++)
    if (green_sleep(h, in_ms(1)) < 0) return 1;
  ran++;
  return 0;
}

static int laps(struct green_hub *h, void *arg) {
  int times = (int)(intptr_t)arg;
  for (int i = 0; i < times; i++)
    if (green_sleep(h, 0) < 0) return 1;
  ran++;
  return 0;
}

static void test_ends(void) {
  struct green_hub *h = open_on_loop();
  CHECK(uv_run(&loop, UV_RUN_DEFAULT) == 0,
        "a hub without threads does not keep the host's loop alive");
  ran = 0;
  green_spawn(h, NULL, runs, NULL);
  green_spawn(h, NULL, sleeps, (void *)5);
  green_spawn(h, NULL, laps, (void *)2000);
  CHECK(ran == 0, "spawn never switches");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 3, "uv_run runs the threads, and returns when none waits");
  CHECK(close_both(h), "hub and loop can be closed");
}

static int waits_then_sleeps(struct green_hub *h, void *arg) {
  char c;
  int fd = *(int *)arg;
  if (green_wait_fd(h, fd, GREEN_READABLE, GREEN_FOREVER) < 0) return 1;
  if (read(fd, &c, 1) != 1) return 1;
  if (green_sleep(h, in_ms(2)) < 0) return 1;
  if (green_wait_fd(h, fd, GREEN_WRITABLE, GREEN_FOREVER) < 0) return 1;
  ran++;
  return 0;
}

static int writes(struct green_hub *h, void *arg) {
  green_sleep(h, in_ms(2));
  ran += write(*(int *)arg, "x", 1) == 1;
  return 0;
}

static void test_chain(void) {
  struct green_hub *h = open_on_loop();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
  ran = 0;
  green_spawn(h, NULL, waits_then_sleeps, &ends[0]);
  green_spawn(h, NULL, writes, &ends[1]);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 2,
        "as long as a thread waits, for a descriptor or for time, "
        "the loop is alive");
  CHECK(close_both(h), "and afterwards it can be closed");
  close(ends[0]);
  close(ends[1]);
}

static int host_ticks, stop;

static void on_tick(uv_timer_t *timer) {
  if (++host_ticks == 5) {
    stop = 1;
    uv_close((uv_handle_t *)timer, NULL);
  }
}

static int busy(struct green_hub *h, void *arg) {
  (void)arg;
  while (!stop) green_sleep(h, 0);
  ran++;
  return 0;
}

static void test_host_goes_on(void) {
  struct green_hub *h = open_on_loop();
  uv_timer_t tick;
  ran = host_ticks = stop = 0;
  uv_timer_init(&loop, &tick);
  uv_timer_start(&tick, on_tick, 1, 1);
  green_spawn(h, NULL, busy, NULL);
  green_spawn(h, NULL, busy, NULL);
  green_spawn(h, NULL, sleeps, (void *)3);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(host_ticks == 5 && ran == 3,
        "the host's own timers go on beside threads that are always ready");
  CHECK(close_both(h), "hub and loop can be closed");
}

static struct green_hub *timer_hub;
static int refused;

static void on_timer(uv_timer_t *timer) {
  refused = green_sleep(timer_hub, GREEN_FOREVER) == UV_EPERM &&
            green_sleep(timer_hub, 0) == UV_EPERM;
  green_spawn(timer_hub, NULL, sleeps, (void *)2);
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_callback(void) {
  uv_timer_t timer;
  struct green_thread *t;
  timer_hub = open_on_loop();
  ran = 0;
  CHECK(green_sleep(timer_hub, in_ms(1)) == UV_EPERM &&
            !green_main(timer_hub) && !green_current(timer_hub),
        "the host's stack is no green thread: blocking there gives UV_EPERM");
  green_spawn(timer_hub, &t, sleeps, NULL);
  CHECK(green_join(timer_hub, t, GREEN_FOREVER, NULL) == UV_EPERM,
        "a join as well");
  green_detach(timer_hub, t);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_timer, 1, 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 2 && refused,
        "a callback of the host may spawn, and must not block");
  CHECK(close_both(timer_hub), "hub and loop can be closed");
}

static void fires(struct green_hub *h, struct green_timer *timer) {
  (void)h, (void)timer;
  ran++;
}

static void test_timer_from_host(void) {
  struct green_hub *h = open_on_loop();
  struct green_timer timer = {0, fires};
  ran = 0;
  green_timer_start(h, &timer, in_ms(2));
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 1, "a deadline set on the host's stack keeps the loop alive");
  green_timer_start(h, &timer, in_ms(100000));
  green_timer_start(h, &timer, in_ms(1));
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 2, "and may be moved forward");
  CHECK(close_both(h), "hub and loop can be closed");
}

static int for_ever(struct green_hub *h, void *arg) {
  int r = green_sleep(h, GREEN_FOREVER);
  (void)arg;
  ran += r == UV_ECANCELED;
  return r;
}

static int shielded(struct green_hub *h, void *arg) {
  struct green_scope shield;
  (void)arg;
  green_scope_open(h, &shield, GREEN_SHIELD, GREEN_FOREVER);
  ran += green_sleep(h, in_ms(100000)) == UV_ECANCELED;
  green_scope_close(h, &shield);
  return 0;
}

static int waits_fd(struct green_hub *h, void *arg) {
  int r = green_wait_fd(h, *(int *)arg, GREEN_READABLE, GREEN_FOREVER);
  ran += r == UV_ECANCELED;
  return r;
}

static void test_close_live(void) {
  struct green_hub *h = open_on_loop();
  struct green_post *p;
  int ends[2];
  if (pipe(ends) != 0) abort();
  ran = 0;
  green_post_open(h, &p);
  green_spawn(h, NULL, for_ever, NULL);
  green_spawn(h, NULL, shielded, NULL);
  green_spawn(h, NULL, waits_fd, &ends[0]);
  green_spawn(h, NULL, sleeps, (void *)1000);
  for (int i = 0; i < 10; i++) uv_run(&loop, UV_RUN_NOWAIT);
  green_spawn(h, NULL, runs, NULL);
  CHECK(close_both(h) && ran == 3,
        "closing kills live threads without waiting for time; shields end");
  green_post_release(p);
  close(ends[0]);
  close(ends[1]);
}

static void burn(void) {
  uint64_t start = uv_hrtime();
  while (uv_hrtime() - start < 2 * MS) continue;
}

static void burns_idle(uv_idle_t *idle) {
  (void)idle;
  burn();
}

static void burns_check(uv_check_t *check) {
  (void)check;
  burn();
}

static int goes_round(struct green_hub *h, void *arg) {
  (void)arg;
  while (green_sleep(h, 0) >= 0) ran++;
  return 0;
}

/* Before each batch the host takes longer than the longest time between two
 * polls. The turns of the first threads are timed, which takes a look. */
static void test_busy_host(void) {
  struct green_hub *h = open_on_loop();
  uv_idle_t idle;
  uv_check_t check;
  ran = 0;
  uv_idle_init(&loop, &idle);
  uv_idle_start(&idle, burns_idle);
  uv_check_init(&loop, &check);
  uv_check_start(&check, burns_check);
  green_spawn(h, NULL, goes_round, NULL);
  green_spawn(h, NULL, goes_round, NULL);
  for (int i = 0; i < 1000 && ran < 10; i++) uv_run(&loop, UV_RUN_NOWAIT);
  uv_close((uv_handle_t *)&idle, NULL);
  uv_close((uv_handle_t *)&check, NULL);
  CHECK(ran >= 10, "threads have turns beside callbacks that take long");
  CHECK(close_both(h), "and the loop is free");
}

static int mule(struct green_hub *h, void *arg) {
  (void)arg;
  ran = 1;
  for (;;) green_sleep(h, GREEN_FOREVER);
  return 0;
}

static int reported;

static void on_abandoned(struct green_hub *h, struct green_thread *t) {
  (void)h, (void)t;
  reported++;
}

static void test_abandoned(void) {
  static const struct green_runtime runtime = {.abandoned = on_abandoned};
  struct green_hub *h = open_on_loop();
  int left;
  green_config(h)->grace = MS;
  green_set_runtime(h, &runtime);
  ran = 0;
  green_spawn(h, NULL, mule, NULL);
  while (!ran) uv_run(&loop, UV_RUN_NOWAIT);
  left = green_close(h);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(left == 1 && reported == 1 && uv_loop_close(&loop) == 0,
        "a thread that will not end is counted, and the loop is free");
}

static int closes(struct green_hub *h, void *arg) {
  (void)arg;
  ran += green_close(h) == UV_EPERM && green_step(h, 0) == UV_EPERM;
  return 0;
}

static struct green_hub *closed_in_callback;
static struct green_thread *victim;

static void on_close_timer(uv_timer_t *timer) {
  if (strcmp(green_status(victim), "blocked") != 0) return; /* in 2 ms */
  green_close(closed_in_callback);
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_close_places(void) {
  uv_timer_t timer;
  closed_in_callback = open_on_loop();
  ran = 0;
  green_spawn(closed_in_callback, NULL, closes, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 1, "a thread cannot close its hub, nor step it");
  green_spawn(closed_in_callback, &victim, for_ever, NULL);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_close_timer, 2, 2);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 2 && uv_loop_close(&loop) == 0, "a callback of the host can");
}

static void close_one(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* The bug: libuv aborted. */
static void test_unplugged(int turns) {
  struct green_hub *h = open_on_loop();
  struct green_post *p;
  int ends[2];
  if (pipe(ends) != 0 || green_post_open(h, &p) < 0) abort();
  ran = 0;
  green_spawn(h, NULL, for_ever, NULL);
  green_spawn(h, NULL, waits_fd, &ends[0]);
  green_spawn(h, NULL, sleeps, (void *)1000);
  uv_run(&loop, UV_RUN_NOWAIT);
  uv_walk(&loop, close_one, NULL);
  while (turns-- > 0) uv_run(&loop, UV_RUN_NOWAIT);
  green_spawn(h, NULL, runs, NULL);
  CHECK(close_both(h) && ran == 2,
        "a host may close all handles in its loop before it closes the hub");
  green_post_release(p);
  close(ends[0]);
  close(ends[1]);
}

static void test_two(void) {
  struct green_options o = {0};
  struct green_hub *h = open_on_loop(), *g;
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  if (green_open(&g, &o) < 0) abort();
  ran = 0;
  green_spawn(h, NULL, sleeps, (void *)3);
  green_spawn(g, NULL, sleeps, (void *)3);
  uv_run(&loop, UV_RUN_DEFAULT);
  green_close(g);
  CHECK(ran == 2 && close_both(h), "one loop can carry two hubs");
}

static void test_step_on_loop(void) {
  struct green_hub *h = open_on_loop();
  ran = 0;
  green_spawn(h, NULL, laps, (void *)3);
  CHECK(green_step(h, 2) == 1 && ran == 0, "a host may step by hand");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 1 && close_both(h), "and let the loop go on with it");
}

static int looks_up(struct green_hub *h, void *arg) {
  struct addrinfo *list;
  (void)arg;
  if (green_getaddrinfo(h, "localhost", NULL, NULL, GREEN_FOREVER, &list) < 0)
    return 1;
  green_freeaddrinfo(list);
  ran++;
  return 0;
}

static int receives(struct green_hub *h, void *port) {
  struct green_message *m;
  if (green_port_receive(h, port, GREEN_FOREVER, &m) < 0) return 1;
  green_message_free(m);
  ran++;
  return 0;
}

static void *sends(void *port) {
  if (green_port_send(port, green_message_new("x", 1)) < 0) abort();
  return NULL;
}

/* The bug: such a step asked nobody, so threads that waited for more than time
 * went on in uv_run() only. */
static void test_step_asks(void) {
  struct green_hub *h = open_on_loop();
  struct green_port *port;
  pthread_t sender;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
  if (green_port_open(h, 1, &port) < 0) abort();
  ran = 0;
  green_spawn(h, NULL, waits_then_sleeps, &ends[0]);
  green_spawn(h, NULL, looks_up, NULL);
  green_spawn(h, NULL, receives, port);
  green_step(h, 0);
  if (write(ends[1], "x", 1) != 1) abort();
  if (pthread_create(&sender, NULL, sends, port) != 0) abort();
  for (int i = 0; i < 10000 && ran < 3; i++) {
    green_step(h, 0);
    usleep(1000);
  }
  CHECK(ran == 3,
        "a step on a host's loop asks for descriptors, ports and look-ups");
  pthread_join(sender, NULL);
  green_port_release(port);
  CHECK(close_both(h), "hub and loop can be closed");
  close(ends[0]);
  close(ends[1]);
}

static int reads(struct green_hub *h, void *fd) {
  char c;
  ran += green_read(h, *(int *)fd, &c, 1, GREEN_FOREVER) == 1;
  return 0;
}

/* The bug: the loop lived on for 50 ms, to ask for descriptors that threads had
 * read. */
static void test_kept(void) {
  struct green_hub *h = open_on_loop();
  int ends[2];
  if (pipe(ends) != 0) abort();
  ran = 0;
  green_spawn(h, NULL, reads, &ends[0]);
  uv_run(&loop, UV_RUN_NOWAIT);
  if (write(ends[1], "x", 1) != 1) abort();
  while (ran == 0) uv_run(&loop, UV_RUN_ONCE);
  uv_run(&loop, UV_RUN_NOWAIT);
  CHECK(!uv_loop_alive(&loop),
        "a descriptor that nobody waits for does not keep the loop alive");
  CHECK(close_both(h), "hub and loop can be closed");
  close(ends[0]);
  close(ends[1]);
}

static void posted_close(struct green_hub *h, void *fd) {
  struct green_fd *f;
  ran += green_close(h) == 0;
  /* Nobody would free it. */
  if (green_fd_open(h, *(int *)fd, &f) == 0) abort();
}

/* The bug: the second call closed the handles again, and libuv aborted. */
static void test_close_twice(void) {
  struct green_hub *h = open_on_loop();
  struct green_post *p;
  int ends[2];
  if (pipe(ends) != 0 || green_post_open(h, &p) < 0) abort();
  ran = 0;
  green_post_send(p, posted_close, &ends[0]);
  green_post_send(p, posted_close, &ends[0]);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(ran == 1 && uv_loop_close(&loop) == 0,
        "a closed hub is not closed again by what was posted");
  green_post_release(p);
  close(ends[0]);
  close(ends[1]);
}

/* ----------------------------------------------------------- green_step -- */

static struct green_hub *open_step(void) {
  struct green_options o = {0};
  struct green_hub *h;
  o.drive = GREEN_DRIVE_STEP;
  if (green_open(&h, &o) < 0) abort();
  return h;
}

static uint64_t switches(struct green_hub *h) {
  struct green_stats s;
  green_stats(h, &s);
  return s.switches;
}

static void test_step_budget(void) {
  struct green_hub *h = open_step();
  int exact = 1;
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, laps, (void *)100000);
  for (uint32_t budget = 1; budget <= 100; budget++) {
    uint64_t before = switches(h);
    int more = green_step(h, budget);
    uint64_t n = switches(h) - before;
    exact &= more == 1 && n >= 1 && n <= budget;
  }
  CHECK(exact, "a step does at least one switch, and at most what it may");
  green_close(h);
}

static void test_step(void) {
  struct green_hub *h = open_step();
  int ends[2];
  if (pipe(ends) != 0) abort();
  ran = 0;
  CHECK(green_step(h, 0) == 0, "without threads a step does nothing");
  green_spawn(h, NULL, sleeps, (void *)2);
  green_spawn(h, NULL, waits_fd, &ends[0]);
  green_spawn(h, NULL, runs, NULL);
  CHECK(green_sleep(h, 0) == UV_EPERM && green_step(h, 0) == 0 && ran == 1,
        "green_step runs what is ready; the host's stack may not block");
  while (ran < 2) green_step(h, 0);
  CHECK(ran == 2 && green_live(h) == 1, "deadlines are met by stepping on");
  if (write(ends[1], "x", 1) != 1) abort();
  while (green_live(h)) green_step(h, 0);
  CHECK(green_live(h) == 0, "descriptors are, too");
  green_spawn(h, NULL, for_ever, NULL);
  green_step(h, 0);
  CHECK(green_close(h) == 0 && ran == 3, "closing kills what lives");
  close(ends[0]);
  close(ends[1]);
}

/* -------------------------------------- callbacks on the hub's own loop -- */

static void wakes(uv_timer_t *timer) {
  green_wake(timer_hub, timer->data, GREEN_WOKEN);
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_own_loop(void) {
  static const struct green_wait_kind kind = {"a callback", NULL, NULL};
  uv_timer_t timer;
  int good = 1;
  if (green_open(&timer_hub, NULL) < 0) abort();
  green_external(timer_hub, 1);
  for (int i = 0; i < 50; i++) {
    uv_timer_init(green_loop(timer_hub), &timer);
    timer.data = green_main(timer_hub);
    uv_timer_start(&timer, wakes, (uint64_t)i % 2, 0);
    good &=
        green_wait(timer_hub, &kind, NULL, NULL, GREEN_FOREVER) == GREEN_WOKEN;
    green_sleep(timer_hub, in_ms(1)); /* the close callback runs */
  }
  green_external(timer_hub, -1);
  CHECK(good, "a timer of the user's on the hub's own loop may wake a thread");
  green_close(timer_hub);
}

int main(void) {
  test_ends();
  test_chain();
  test_host_goes_on();
  test_callback();
  test_timer_from_host();
  test_close_live();
  test_busy_host();
  test_abandoned();
  test_close_places();
  test_unplugged(0);
  test_unplugged(3);
  test_two();
  test_step_on_loop();
  test_step_asks();
  test_kept();
  test_close_twice();
  test_step_budget();
  test_step();
  test_own_loop();
  return test_end();
}
