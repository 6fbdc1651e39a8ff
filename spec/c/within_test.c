/* within_test.c - functions under a limit, and why a call was cancelled.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"
#include "test.h"

enum { MS = 1000000 };

static struct green_hub *hub;
static int why[4], reached;

static int sleeps(struct green_hub *h, void *arg) {
  int r = green_sleep(h, green_in((uint64_t)(uintptr_t)arg));
  reached++;
  why[0] = green_why(h);
  return r < 0 ? r : 7;
}

static void *ms(int n) {
  return (void *)((uintptr_t)n * MS);
}

static void test_limit(void) {
  CHECK(green_within(hub, green_in(5000 * (uint64_t)MS), sleeps, ms(1)) == 7 &&
            why[0] == GREEN_BY_NOBODY,
        "a function in time returns what it returns");
  CHECK(green_within(hub, GREEN_FOREVER, sleeps, ms(1)) == 7,
        "without a limit, too");
  CHECK(green_within(hub, green_in(MS), sleeps, ms(60000)) == UV_ETIMEDOUT &&
            why[0] == GREEN_BY_LIMIT,
        "one that takes too long is cancelled, and the caller learns why");
  CHECK(green_why(hub) == GREEN_BY_NOBODY && green_sleep(hub, 1) == 0,
        "after which all is well");
  CHECK(green_within(hub, green_now() - 1, sleeps, ms(1)) == UV_ETIMEDOUT &&
            green_within(hub, 0, sleeps, ms(1)) == UV_ETIMEDOUT,
        "a deadline that has passed strikes the first call that blocks");
}

static int goes_on(struct green_hub *h, void *arg) {
  int r = sleeps(h, arg), again = green_yield(h);
  return r == UV_ECANCELED && again == UV_ECANCELED ? 3 : 0;
}

static int says_cancelled(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  return UV_ECANCELED;
}

static void test_results(void) {
  CHECK(green_within(hub, green_in(MS), goes_on, ms(60000)) == 3,
        "each later call in it is cancelled; its own result counts");
  CHECK(green_within(hub, green_in(5000 * (uint64_t)MS), says_cancelled,
                     NULL) == UV_ECANCELED,
        "a code of its own is not taken for the limit");
}

static int nested(struct green_hub *h, void *arg) {
  int r = green_within(h, green_in(10000 * (uint64_t)MS), sleeps, arg);
  why[1] = green_why(h);
  return r;
}

static int inner_first(struct green_hub *h, void *arg) {
  int r = green_within(h, green_in(MS), sleeps, arg);
  why[1] = green_why(h);
  return r == UV_ETIMEDOUT ? green_sleep(h, green_in(MS)) : r;
}

static void test_nested(void) {
  CHECK(green_within(hub, green_in(MS), nested, ms(60000)) == UV_ETIMEDOUT &&
            why[0] == GREEN_BY_LIMIT && why[1] == GREEN_BY_LIMIT,
        "an outer limit passes through an inner one");
  CHECK(green_within(hub, green_in(10000 * (uint64_t)MS), inner_first,
                     ms(60000)) == 0 &&
            why[1] == GREEN_BY_NOBODY,
        "an inner one leaves the outer function going");
}

static int result;

static int limited(struct green_hub *h, void *arg) {
  (void)arg;
  result = green_within(h, green_in(10000 * (uint64_t)MS), sleeps, ms(60000));
  why[1] = green_why(h);
  return 0;
}

static int killed_first(struct green_hub *h, void *arg) {
  (void)arg;
  green_kill(h, green_current(h));
  reached = 0;
  result = green_within(h, GREEN_FOREVER, sleeps, ms(1));
  return 0;
}

static void test_kill(void) {
  struct green_thread *t;
  green_spawn(hub, &t, limited, NULL);
  green_yield(hub);
  green_kill(hub, t);
  green_join(hub, t, GREEN_FOREVER, NULL);
  CHECK(result == UV_ECANCELED && why[0] == GREEN_BY_KILL &&
            why[1] == GREEN_BY_KILL,
        "a kill is no limit, and goes on");
  green_spawn(hub, &t, killed_first, NULL);
  green_join(hub, t, GREEN_FOREVER, NULL);
  CHECK(result == UV_ECANCELED && reached == 0,
        "a thread that was killed does not begin");
}

static void test_group(void) {
  struct green_scope group;
  green_scope_open(hub, &group, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  green_scope_cancel(hub, &group);
  CHECK(green_sleep(hub, green_in(MS)) == UV_ECANCELED &&
            green_why(hub) == GREEN_BY_SCOPE,
        "another scope that was cancelled is told from both");
  green_scope_close(hub, &group);
}

static int throws_in(struct green_hub *h, void *arg) {
  (void)arg;
  return green_within(h, green_in(10000 * (uint64_t)MS), sleeps, ms(60000));
}

static void test_throw(void) {
  struct green_thread *t;
  int r = 0;
  green_spawn(hub, &t, throws_in, NULL);
  green_yield(hub);
  green_throw(hub, t, UV_EPIPE);
  green_join(hub, t, GREEN_FOREVER, &r);
  CHECK(r == UV_EPIPE && why[0] == GREEN_BY_NOBODY,
        "what is thrown comes as it is");
}

static void test_memory(void) {
  int n, bad = 0, r = -1;
  for (n = 0; n < 200 && r != 7; n++) {
    green__fail_alloc(n % 3 + 1);
    r = green_within(hub, green_in(5000 * (uint64_t)MS), sleeps, ms(1));
    green__fail_alloc(0);
    bad += r != 7 && r != UV_ENOMEM;
  }
  CHECK(bad == 0 && r == 7 && !green_main(hub)->scopes,
        "without memory nothing begins, and nothing is left open");
}

static void test_host(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *h;
  green_open(&h, &o);
  CHECK(green_within(h, 0, sleeps, ms(1)) == UV_EPERM &&
            green_within(h, GREEN_FOREVER, sleeps, ms(1)) == UV_EPERM &&
            green_why(h) == GREEN_BY_NOBODY,
        "a host's stack has no limits");
  green_close(h);
}

int main(void) {
  if (green_open(&hub, NULL) < 0) return 1;
  test_limit();
  test_results();
  test_nested();
  test_kill();
  test_group();
  test_throw();
  test_memory();
  CHECK(green_close(hub) == 0, "the hub can be closed");
  test_host();
  return test_end();
}
