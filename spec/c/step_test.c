/* step_test.c - hosts that step a hub: with a budget in time, by an epoll of
 * their own, and with a clock of their own, as a game has.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"
#include "test.h"

enum { MS = 1000000 };

static int ran;

static struct green_hub *open_step(uint64_t (*clock)(void *), void *arg) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *hub;
  o.clock = clock;
  o.clock_arg = arg;
  o.size = sizeof o;
  if (green_open(&hub, &o) < 0) abort();
  ran = 0;
  return hub;
}

static int sleeps(struct green_hub *hub, void *arg) {
  int r = green_sleep(hub, green_in((uint64_t)(uintptr_t)arg));
  if (r == 0) ran++;
  return r;
}

static void spin(uint64_t ns) {
  uint64_t start = uv_hrtime();
  while (uv_hrtime() - start < ns) continue;
}

/* -------------------------------------------------------- budget in time -- */

static int computes(struct green_hub *hub, void *arg) {
  (void)arg;
  while (green_yield(hub) == 0) {
    spin(MS / 5);
    ran++;
  }
  return 0;
}

static int yields(struct green_hub *hub, void *arg) {
  (void)arg;
  while (green_yield(hub) == 0) ran++;
  return 0;
}

static uint64_t switches(struct green_hub *hub) {
  struct green_stats s;
  green_stats(hub, &s);
  return s.switches;
}

static void test_time(void) {
  struct green_hub *hub = open_step(NULL, NULL);
  uint64_t start;
  green_spawn(hub, NULL, computes, NULL);
  green_spawn(hub, NULL, computes, NULL);
  start = uv_hrtime();
  CHECK(green_step_for(hub, 5 * MS, 0) == 1 && uv_hrtime() - start >= 5 * MS,
        "a step of 5 ms runs threads for so long, and says that more can");
  CHECK(ran <= 28, "and not much longer"); /* 25, and one that it was in */
  ran = 0;
  CHECK(green_step_for(hub, 0, 0) == 1 && ran <= 1,
        "a step without time lets one thread run");
  while (!ran) green_step_for(hub, 0, 0);
  CHECK(ran == 1, "so a host that is always late starves nobody");
  green_close(hub);
}

static void test_both_bounds(void) {
  struct green_hub *hub = open_step(NULL, NULL);
  uint64_t before = switches(hub);
  green_spawn(hub, NULL, yields, NULL);
  green_spawn(hub, NULL, yields, NULL);
  CHECK(green_step_for(hub, GREEN_FOREVER, 1000) == 1 &&
            switches(hub) - before == 1000,
        "the bound in switches is exact, without one in time");
  before = switches(hub);
  CHECK(green_step_for(hub, MS, 10) == 1 && switches(hub) - before <= 10,
        "what is used up first ends the step");
  green_close(hub);
  hub = open_step(NULL, NULL);
  CHECK(green_step_for(hub, GREEN_FOREVER, 0) == 0,
        "and it ends when nothing is ready");
  green_close(hub);
}

static int steps(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_step_for(hub, MS, 1) == UV_EPERM &&
         green_step(hub, 1) == UV_EPERM;
}

static void test_refused(void) {
  struct green_hub *hub = open_step(NULL, NULL), *main_hub;
  struct green_options o = {.drive = GREEN_DRIVE_MAIN, .clock_arg = &ran};
  struct green_thread *t;
  green_spawn(hub, &t, steps, NULL);
  green_step(hub, 0);
  CHECK(t->result == 1, "a thread cannot step its hub");
  green_detach(hub, t);
  green_close(hub);
  green_open(&main_hub, &o);
  CHECK(green_step_for(main_hub, 1, 1) == UV_EPERM &&
            green_poll_fd(main_hub) == UV_EINVAL &&
            green_next(main_hub) == GREEN_FOREVER,
        "a hub that has main is not stepped");
  green_close(main_hub);
}

/* ------------------------------------------------------ the host's epoll -- */

static int reads(struct green_hub *hub, void *arg) {
  int *fds = arg;
  char byte;
  while (green_wait_fd(hub, fds[0], GREEN_READABLE, GREEN_FOREVER) == 0 &&
         read(fds[0], &byte, 1) == 1)
    ran++;
  return 0;
}

/* The host's loop: sleeps for as long as green_next() says, or until its epoll
 * says something, and then steps. Returns how often it woke. */
static int serve(struct green_hub *hub, int epoll, int until) {
  int wakes = 0;
  while (ran < until) {
    struct epoll_event e;
    uint64_t at = green_next(hub), now = green_time(hub);
    int ms = at == GREEN_FOREVER ? 5000
             : at > now          ? (int)((at - now + MS - 1) / MS)
                                 : 0;
    if (epoll_wait(epoll, &e, 1, ms) == 0 && ms == 5000) return -1;
    green_step_for(hub, MS, 0);
    wakes++;
  }
  return wakes;
}

static void poke(struct green_hub *hub, void *arg) {
  (void)hub, (void)arg;
  ran++;
}

static void *sends(void *post) {
  usleep(2000);
  green_post_send(post, poke, NULL);
  return NULL;
}

static void test_epoll(void) {
  struct green_hub *hub = open_step(NULL, NULL);
  struct epoll_event e = {.events = EPOLLIN};
  struct green_post *post;
  uint64_t before, at;
  pthread_t other;
  int epoll = epoll_create1(EPOLL_CLOEXEC), fds[2], n;
  if (pipe(fds) < 0 ||
      epoll_ctl(epoll, EPOLL_CTL_ADD, green_poll_fd(hub), &e) < 0)
    abort();
  CHECK(green_next(hub) == GREEN_FOREVER && green_next_ms(hub) == -1,
        "a hub without threads has no need");
  green_spawn(hub, NULL, reads, fds);
  CHECK(green_next(hub) == 0, "one with a ready thread must run now");
  green_step(hub, 0);
  CHECK(green_next(hub) == GREEN_FOREVER && epoll_wait(epoll, &e, 1, 0) == 0,
        "one whose threads wait for descriptors runs when those come");
  if (write(fds[1], "x", 1) != 1) abort();
  CHECK(epoll_wait(epoll, &e, 1, 1000) == 1,
        "then its descriptor is readable");
  CHECK(serve(hub, epoll, 1) >= 1, "and a step does what there is to do");
  green_step(hub, 0);
  CHECK(epoll_wait(epoll, &e, 1, 0) == 0, "after which it is quiet again");
  before = green_now();
  green_spawn(hub, NULL, sleeps, (void *)(20 * MS));
  green_step(hub, 0);
  at = green_next(hub);
  CHECK((at > before && at <= green_in(20 * MS)) ||
            (at == 0 && green_now() >= before + 20 * MS),
        "a thread that sleeps tells when");
  n = serve(hub, epoll, 2);
  CHECK(n >= 1 && n < 10, "and costs the host few rounds of its loop");
  green_post_open(hub, &post);
  green_step(hub, 0);
  pthread_create(&other, NULL, sends, post);
  n = serve(hub, epoll, 3);
  CHECK(n >= 1, "another OS thread wakes it by that descriptor, too");
  pthread_join(other, NULL);
  green_post_close(hub, post);
  CHECK(green_close(hub) == 0, "and it can be closed");
  close(epoll);
  close(fds[0]);
  close(fds[1]);
}

/* A timer that the host makes on the hub's own loop counts as well. */
static void on_timer(uv_timer_t *timer) {
  (void)timer;
  ran++;
}

static void test_uv_timer(void) {
  struct green_hub *hub = open_step(NULL, NULL);
  uv_timer_t timer;
  uv_timer_init(green_loop(hub), &timer);
  uv_timer_start(&timer, on_timer, 10, 0);
  CHECK(green_next(hub) <= green_in(10 * MS), "a timer of libuv's tells when");
  while (!ran) {
    uint64_t at = green_next(hub), now = green_now();
    if (at > now) usleep((useconds_t)((at - now) / 1000));
    green_step(hub, 0);
  }
  CHECK(ran == 1, "and fires in a step");
  uv_close((uv_handle_t *)&timer, NULL);
  green_step(hub, 0);
  CHECK(green_close(hub) == 0, "and the hub can be closed");
}

/* ------------------------------------------------------ the host's clock -- */

static uint64_t game_time;

static uint64_t read_clock(void *arg) {
  return *(uint64_t *)arg;
}

static int times(struct green_hub *hub, void *arg) {
  uint64_t *seen = arg;
  seen[0] = green_now();
  green_sleep(hub, green_in(100 * MS));
  seen[1] = green_now();
  ran++;
  return 0;
}

/* An int of ms ends after 25 days. */
static void test_far(void) {
  struct green_hub *hub = open_step(NULL, NULL);
  green_spawn(hub, NULL, sleeps, (void *)(uintptr_t)(MS * UINT64_C(1) << 40));
  green_step(hub, 0);
  CHECK(green_next(hub) > green_now() && green_next_ms(hub) == INT_MAX,
        "a time that is too far for an int is the last that is not");
  green_close(hub);
}

static void test_clock(void) {
  struct green_hub *hub;
  uint64_t seen[2] = {0, 0}, real = green_now();
  game_time = 1000;
  hub = open_step(read_clock, &game_time);
  CHECK(green_time(hub) == 1000 && green_now() >= real,
        "a hub may have a clock of the host's, whose own time stays");
  green_spawn(hub, NULL, times, seen);
  green_step(hub, 0);
  CHECK(seen[0] == 1000 && green_next(hub) == 1000 + 100 * MS,
        "its threads see that time, and sleep by it");
  CHECK(green_next_ms(hub) == 100, "the host's wait is in whole ms");
  usleep(2000);
  green_step_for(hub, MS, 0);
  CHECK(!ran, "while the game pauses, nobody's sleep ends");
  game_time += 99 * MS;
  green_step(hub, 0);
  CHECK(!ran, "in slow motion a sleep takes as long as it must");
  game_time += MS - 1;
  CHECK(green_next_ms(hub) == 1, "rounded up");
  game_time++;
  CHECK(green_next(hub) == 0 && green_next_ms(hub) == 0 &&
            green_step(hub, 0) == 0 && ran == 1 && seen[1] == 1000 + 100 * MS,
        "and ends at its time");
  game_time = 5;
  CHECK(green_time(hub) == 1000 + 100 * MS,
        "a clock that goes back stands still");
  green_close(hub);
}

/* A frame of the game is 16 ms in its own time, whatever it takes. */
static void test_frames(void) {
  struct green_hub *hub;
  uint64_t start = uv_hrtime();
  int frame, i;
  game_time = 1;
  hub = open_step(read_clock, &game_time);
  for (i = 1; i <= 100; i++)
    green_spawn(hub, NULL, sleeps, (void *)(uintptr_t)(i * 16 * MS));
  green_spawn(hub, NULL, yields, NULL); /* one that is never done */
  green_step_for(hub, MS / 10, 0);
  ran = 0;
  for (frame = 0; frame < 100; frame++) {
    game_time += 16 * MS;
    green_step_for(hub, MS / 10, 200);
  }
  CHECK(ran >= 100 && uv_hrtime() - start < UINT64_C(1600) * MS,
        "1.6 s of game pass as fast as its frames");
  CHECK(green_close(hub) == 0, "the grace of its end is real time");
}

static int limited(struct green_hub *hub, void *arg) {
  struct green_scope scope;
  int r;
  (void)arg;
  green_scope_open(hub, &scope, GREEN_SCOPE_TIMEOUT, green_in(50 * MS));
  r = green_sleep(hub, GREEN_FOREVER - 1);
  green_scope_close(hub, &scope);
  ran += r == UV_ECANCELED;
  return 0;
}

static int stubborn(struct green_hub *hub, void *arg) {
  (void)arg;
  while (!ran) green_yield(hub);
  return 0;
}

static void test_limits(void) {
  struct green_hub *hub;
  game_time = 1;
  hub = open_step(read_clock, &game_time);
  green_spawn(hub, NULL, limited, NULL);
  green_step(hub, 0);
  usleep(2000);
  green_step(hub, 0);
  CHECK(!ran, "limits stand still with the clock");
  game_time += 50 * MS;
  green_step(hub, 0);
  CHECK(ran == 1, "and strike by it");
  green_close(hub);
  hub = open_step(read_clock, &game_time);
  green_config(hub)->grace = 20 * MS;
  green_spawn(hub, NULL, stubborn, NULL);
  green_step_for(hub, 0, 1);
  ran = 0;
  CHECK(green_close(hub) == 1, "but closing does not wait for a paused game");
}

static void test_two_clocks(void) {
  uint64_t one = 1000, two = 2000, a[2] = {0, 0}, b[2] = {0, 0};
  struct green_hub *first = open_step(read_clock, &one);
  struct green_hub *second = open_step(read_clock, &two);
  struct green_hub *real = open_step(NULL, NULL);
  green_spawn(first, NULL, times, a);
  green_spawn(second, NULL, times, b);
  green_step(first, 0);
  green_step(second, 0);
  CHECK(a[0] == 1000 && b[0] == 2000,
        "two hubs of one OS thread may have a clock each");
  green_spawn(real, NULL, times, b);
  green_step(real, 0);
  CHECK(b[0] > 1000000, "and a third may have none");
  one += 100 * MS;
  green_step(first, 0);
  green_step(second, 0);
  CHECK(ran == 1, "one may run while the other pauses");
  while (ran < 2) usleep(1000), green_step(real, 0);
  CHECK(green_close(first) + green_close(second) + green_close(real) == 0,
        "and all can be closed");
}

static void test_no_clock(void) {
  struct green_options o = {.drive = GREEN_DRIVE_MAIN, .clock = read_clock};
  struct green_hub *hub;
  CHECK(green_open(&hub, &o) == UV_EINVAL && !hub,
        "only a hub that is stepped can have a clock of the host's");
}

int main(void) {
  test_time();
  test_both_bounds();
  test_refused();
  test_epoll();
  test_uv_timer();
  test_far();
  test_clock();
  test_frames();
  test_limits();
  test_two_clocks();
  test_no_clock();
  return test_end();
}
