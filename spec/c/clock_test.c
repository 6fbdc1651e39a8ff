/* clock_test.c - the frozen clock: hours pass in no time, in order, and only
 * when nobody has anything to do.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

#define MS UINT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static int just_past(uint64_t deadline) {
  return green_now() > deadline && green_now() - deadline < 100;
}

static char order[8];
static size_t slept;

struct sleeper {
  uint64_t deadline;
  char name;
};

static int sleeps(struct green_hub *h, void *arg) {
  struct sleeper *s = arg;
  green_sleep(h, s->deadline);
  order[slept++] = s->name;
  return green_now() - s->deadline < 100 ? 0 : -1;
}

static void test_jumps(void) {
  struct green_hub *h = open_hub();
  uint64_t real = uv_hrtime(), before;
  green_clock_freeze(h, 0);
  before = green_now();
  CHECK(green_sleep(h, before + HOUR) == 0 && just_past(before + HOUR),
        "an hour's sleep ends just past its deadline");
  green_close(h);
  CHECK(uv_hrtime() - real < 2000 * MS, "and takes no real time");
}

static void test_order(void) {
  struct green_hub *h = open_hub();
  struct sleeper s[4];
  struct green_thread *t[4];
  uint64_t now;
  int i, sum = 0, result;
  green_clock_freeze(h, 0);
  now = green_now();
  for (i = 0; i < 4; i++) {
    s[i].deadline = now + (uint64_t)(3 - i / 2) * HOUR;
    s[i].name = (char)('a' + i);
    green_spawn(h, &t[i], sleeps, &s[i]);
  }
  for (i = 0; i < 4; i++) {
    green_join(h, t[i], GREEN_FOREVER, &result);
    sum += result;
  }
  CHECK(!memcmp(order, "cdab", 4) && sum == 0,
        "deadlines come in order, equal ones as they were made");
  green_close(h);
}

static void test_stands(void) {
  struct green_hub *h = open_hub();
  uint64_t now, real, thawed;
  green_clock_freeze(h, 0);
  now = green_now();
  real = uv_hrtime();
  while (uv_hrtime() - real < 20 * MS)
    ;
  green_sleep(h, 0);
  CHECK(green_now() == now, "while threads run, the clock stands still");
  real = uv_hrtime();
  green_clock_thaw(h);
  thawed = green_now();
  CHECK(thawed >= now && thawed - now <= uv_hrtime() - real,
        "thawed, it goes on from where it was");
  green_clock_freeze(h, 0);
  green_sleep(h, green_now() + HOUR);
  now = green_now();
  green_clock_thaw(h);
  CHECK(green_now() >= now, "and never back");
  real = green_now();
  green_sleep(h, real + 5 * MS);
  CHECK(green_now() >= real + 5 * MS, "then a sleep takes its time");
  CHECK(uv_hrtime() < now, "far ahead of the machine's");
  green_close(h);
}

static int pair[2];

static int answers(struct green_hub *h, void *arg) {
  char c;
  int i;
  (void)arg;
  for (i = 0; i < 100; i++) {
    if (green_wait_fd(h, pair[1], GREEN_READABLE, GREEN_FOREVER) < 0 ||
        read(pair[1], &c, 1) != 1 || write(pair[1], &c, 1) != 1)
      return -1;
  }
  return 0;
}

static int echo(struct green_hub *h, uint64_t deadline) {
  char c = 'x';
  int r;
  if (write(pair[0], &c, 1) != 1) return -1;
  r = green_wait_fd(h, pair[0], GREEN_READABLE, deadline);
  return r < 0 ? r : read(pair[0], &c, 1) == 1 ? 0 : -1;
}

static void test_io(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t;
  uint64_t now;
  int i, result = 1, good = 1;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) abort();
  green_clock_freeze(h, 0);
  now = green_now();
  green_spawn(h, &t, answers, NULL);
  for (i = 0; i < 100; i++) good &= echo(h, now + MS) == 0;
  green_join(h, t, GREEN_FOREVER, &result);
  CHECK(good && result == 0 && green_now() == now,
        "what comes soon from outside comes before any deadline");
  CHECK(
      green_wait_fd(h, pair[0], GREEN_READABLE, now + HOUR) == UV_ETIMEDOUT &&
          just_past(now + HOUR),
      "what does not come is timed out");
  green_close(h);
  close(pair[0]);
  close(pair[1]);
}

static int for_ever(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, GREEN_FOREVER);
}

static void test_deadlock(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t;
  green_clock_freeze(h, 0);
  green_spawn(h, &t, for_ever, NULL);
  CHECK(green_join(h, t, GREEN_FOREVER, NULL) == GREEN_EDEADLK,
        "nothing to jump to is a deadlock");
  CHECK(green_join(h, t, green_now() + HOUR, NULL) == UV_ETIMEDOUT,
        "a deadline is not");
  green_kill(h, t);
  green_join(h, t, GREEN_FOREVER, NULL);
  green_close(h);
}

/* Writes after 20 ms from another OS thread. */
static void late(void *arg) {
  struct timespec ts = {0, 20 * 1000000};
  (void)arg;
  nanosleep(&ts, NULL);
  if (write(pair[1], "x", 1) != 1) abort();
}

static void test_quiet(void) {
  struct green_hub *h = open_hub();
  uv_thread_t thread;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) abort();
  green_clock_freeze(h, 5000 * MS);
  uv_thread_create(&thread, late, NULL);
  CHECK(green_wait_fd(h, pair[0], GREEN_READABLE, green_now() + MS) == 0,
        "a longer quiet time waits for slower peers");
  CHECK(green_clock_frozen(h) == 5000 * MS, "it can be asked for");
  uv_thread_join(&thread);
  green_close(h);
  close(pair[0]);
  close(pair[1]);
}

static void test_refused(void) {
  struct green_options o = {0};
  struct green_hub *h, *other;
  o.drive = GREEN_DRIVE_STEP;
  if (green_open(&h, &o) < 0) abort();
  CHECK(green_clock_freeze(h, 0) == UV_EINVAL,
        "a hub that a host drives refuses");
  green_close(h);
  h = open_hub();
  other = open_hub();
  green_clock_freeze(h, 0);
  CHECK(green_clock_freeze(other, 0) == UV_EBUSY,
        "an OS thread has one clock");
  green_close(h);
  CHECK(green_clock_freeze(other, 0) == 0 && green_clock_frozen(other),
        "closing a hub thaws it");
  green_close(other);
}

int main(void) {
  test_jumps();
  test_order();
  test_stands();
  test_io();
  test_deadlock();
  test_quiet();
  test_refused();
  return test_end();
}
