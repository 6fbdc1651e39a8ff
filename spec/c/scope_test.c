/* scope_test.c - cancellation as C threads see it: timeouts, groups, shields,
 * the order of strikes, and threads that ignore them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static struct green_hub *open_hub(uint64_t grace) {
  struct green_options o = {0};
  struct green_hub *h;
  o.grace = grace;
  if (green_open(&h, &o) < 0) abort();
  return h;
}

static uint64_t in_ms(uint64_t ms) {
  return green_now() + ms * MS;
}

static enum green_strike struck(struct green_hub *h,
                                struct green_scope **scope) {
  return green_strikes(h, green_current(h), scope);
}

/* ------------------------------------------------------------- timeouts -- */

static void test_timeout(void) {
  struct green_hub *h = open_hub(0);
  struct green_scope s, *which;
  uint64_t deadline = in_ms(2);
  CHECK(green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, deadline) == 0 &&
            green_scope_deadline(h, green_main(h)) == deadline,
        "a timeout has a deadline");
  CHECK(
      green_sleep(h, GREEN_FOREVER) == UV_ECANCELED && green_now() >= deadline,
      "when it is over the blocking call returns UV_ECANCELED, not before");
  CHECK(green_sleep(h, in_ms(1)) == UV_ECANCELED &&
            green_sleep(h, 0) == UV_ECANCELED,
        "and so does each later one inside it");
  CHECK(struck(h, &which) == GREEN_STRIKE_SCOPE && which == &s &&
            s.deliveries == 3,
        "it is known which one struck, and how often");
  green_scope_close(h, &s);
  CHECK(green_sleep(h, 0) == 0, "outside it all is well");
  green_scope_close(h, &s);
  green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, in_ms(100000));
  green_scope_close(h, &s);
  CHECK(h->heap.count == 0 && !green_current(h)->pending,
        "one that was closed in time leaves nothing behind");
  green_close(h);
}

/* ----------------------------------------------------- expiry on time --
 * Timers fire in polls only: an expiry was noticed up to 2,000 calls late. */

static void compute(uint64_t ns) {
  uint64_t end = uv_hrtime() + ns;
  while (uv_hrtime() < end) continue;
}

/* Calls that never have to wait, until one is struck; how many were made. */
static int calls_until_struck(struct green_hub *h, uint64_t from) {
  for (int calls = 0;;) {
    int late = green_now() >= from;
    if (green_wait_others(h, GREEN_FOREVER) == UV_ECANCELED) return calls;
    calls += late;
  }
}

static void test_on_time(void) {
  struct green_hub *h = open_hub(0);
  struct green_scope s, outer, *which;
  uint64_t at = in_ms(1);
  green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, at);
  compute(20 * MS);
  CHECK(green_sleep(h, 0) == UV_ECANCELED,
        "a timeout that ran out while its thread computed strikes at once");
  green_scope_close(h, &s);
  green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, at);
  CHECK(green_sleep(h, 0) == UV_ECANCELED,
        "and so does one whose time was over when it was opened");
  green_scope_close(h, &s);
  at = in_ms(3);
  green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, at);
  CHECK(calls_until_struck(h, at) <= 8,
        "of calls that never wait, a few at most get through too late");
  green_scope_close(h, &s);
  green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, in_ms(1));
  CHECK(!green_scope_cancelled(h, &s), "whether it is over can be asked");
  compute(2 * MS);
  CHECK(green_scope_cancelled(h, &s), "of the clock, not of the last poll");
  green_scope_close(h, &s);
  green_scope_open(h, &outer, GREEN_SCOPE_TIMEOUT, in_ms(1));
  green_scope_open(h, &s, GREEN_SHIELD, at = in_ms(1000));
  compute(20 * MS);
  CHECK(struck(h, &which) == GREEN_STRIKE_NONE, "a shield hides it");
  while (green_now() < at + 20 * MS) continue;
  CHECK(struck(h, &which) == GREEN_STRIKE_SCOPE && which == &outer,
        "and is worn out in time");
  green_scope_close(h, &s);
  green_scope_close(h, &outer);
  green_scope_open(h, &outer, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, in_ms(100000));
  CHECK(green_current(h)->pending, "a call looks at the clock while one runs");
  green_scope_close(h, &s);
  CHECK(!green_current(h)->pending, "and no longer");
  green_scope_close(h, &outer);
  green_close(h);
}

static void test_nesting(void) {
  struct green_hub *h = open_hub(0);
  struct green_scope outer, inner, *which;
  green_scope_open(h, &outer, GREEN_SCOPE_TIMEOUT, GREEN_FOREVER);
  green_scope_open(h, &inner, GREEN_SCOPE_TIMEOUT, in_ms(1));
  CHECK(green_sleep(h, GREEN_FOREVER) == UV_ECANCELED &&
            struck(h, &which) == GREEN_STRIKE_SCOPE && which == &inner,
        "an inner timeout strikes inside an outer one");
  green_scope_cancel(h, &outer);
  CHECK(struck(h, &which) == GREEN_STRIKE_SCOPE && which == &outer,
        "of two the outer one is seen");
  green_scope_close(h, &inner);
  CHECK(green_sleep(h, 0) == UV_ECANCELED, "still after the inner was left");
  green_scope_close(h, &outer);
  CHECK(green_sleep(h, 0) == 0, "and not after the outer was");
  green_scope_open(h, &outer, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  green_scope_open(h, &inner, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  green_scope_close(h, &outer);
  green_scope_cancel(h, &inner);
  CHECK(green_sleep(h, 0) == UV_ECANCELED, "they may be closed in any order");
  green_scope_close(h, &inner);
  CHECK(!green_current(h)->scopes, "and the chain is whole");
  green_close(h);
}

static int sees(struct green_hub *h, void *arg) {
  struct green_scope group, *which;
  int *seen = arg;
  green_scope_open(h, &group, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  seen[0] = green_sleep(h, GREEN_FOREVER);
  seen[1] = (int)struck(h, &which);
  green_scope_close(h, &group);
  seen[2] = (int)struck(h, &which);
  return 0;
}

static void test_kill_first(void) {
  struct green_hub *h = open_hub(0);
  struct green_thread *t;
  int seen[3];
  green_spawn(h, &t, sees, seen);
  green_sleep(h, 0);
  green_throw(h, t, UV_EIO);
  green_scope_cancel(h, t->scopes);
  green_kill(h, t);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(seen[0] == UV_ECANCELED && seen[1] == GREEN_STRIKE_KILL &&
            seen[2] == GREEN_STRIKE_KILL,
        "a kill comes before scopes and throws");
  green_spawn(h, &t, sees, seen);
  green_sleep(h, 0);
  green_throw(h, t, UV_EIO);
  green_scope_cancel(h, t->scopes);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(seen[0] == UV_ECANCELED && seen[1] == GREEN_STRIKE_SCOPE &&
            seen[2] == GREEN_STRIKE_THROW,
        "a scope before a throw, which waits for its turn");
  green_close(h);
}

/* -------------------------------------------------------------- shields -- */

static int shielded(struct green_hub *h, void *arg) {
  struct green_scope shield, inner;
  int *codes = arg;
  green_scope_open(h, &shield, GREEN_SHIELD, GREEN_FOREVER);
  codes[0] = green_sleep(h, in_ms(3));
  green_scope_open(h, &inner, GREEN_SCOPE_TIMEOUT, in_ms(1));
  codes[1] = green_sleep(h, GREEN_FOREVER);
  green_scope_close(h, &inner);
  codes[2] = green_sleep(h, 0);
  green_scope_close(h, &shield);
  codes[3] = green_sleep(h, 0);
  return 0;
}

static void test_shield(void) {
  struct green_hub *h = open_hub(0);
  struct green_thread *t;
  int codes[4];
  green_spawn(h, &t, shielded, codes);
  green_sleep(h, 0);
  green_kill(h, t);
  CHECK(!strcmp(green_status(t), "blocked"), "a shield holds a kill back");
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(codes[0] == 0 && codes[2] == 0, "calls inside it go on");
  CHECK(codes[1] == UV_ECANCELED, "a timeout made inside it works");
  CHECK(codes[3] == UV_ECANCELED, "the kill shows right after it");
  green_spawn(h, &t, shielded, codes);
  green_sleep(h, 0);
  green_throw(h, t, UV_EIO);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(codes[0] == 0 && codes[2] == 0 && codes[3] == UV_EIO,
        "so it is with a throw");
  green_close(h);
}

static int worn(struct green_hub *h, void *arg) {
  struct green_scope shield;
  int *codes = arg;
  green_scope_open(h, &shield, GREEN_SHIELD, in_ms(2));
  codes[0] = green_sleep(h, GREEN_FOREVER);
  green_scope_close(h, &shield);
  return 0;
}

static int naps(struct green_hub *h, void *arg) {
  struct green_scope shield;
  int *codes = arg;
  green_scope_open(h, &shield, GREEN_SHIELD, in_ms(1));
  codes[0] = green_sleep(h, in_ms(4));
  green_scope_close(h, &shield);
  return 0;
}

static void test_worn(void) {
  struct green_hub *h = open_hub(0);
  struct green_thread *t;
  int codes[1];
  green_spawn(h, &t, worn, codes);
  green_sleep(h, 0);
  green_kill(h, t);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(
      codes[0] == UV_ECANCELED,
      "a shield is worn out at its deadline; what it held back strikes then");
  green_spawn(h, &t, naps, codes);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(codes[0] == 0, "with nothing held back nobody is cut");
  green_close(h);
}

static void test_outside(void) {
  struct green_hub *h = open_hub(0);
  struct green_scope timeout, shield, *which;
  green_scope_open(h, &timeout, GREEN_SCOPE_TIMEOUT, in_ms(1));
  green_scope_open(h, &shield, GREEN_SHIELD, GREEN_FOREVER);
  CHECK(green_scope_deadline(h, green_main(h)) == GREEN_FOREVER,
        "inside a shield no outer deadline counts");
  CHECK(green_sleep(h, in_ms(3)) == 0 && timeout.cancelled,
        "an outer timeout runs out behind a shield");
  green_scope_close(h, &shield);
  CHECK(struck(h, &which) == GREEN_STRIKE_SCOPE && which == &timeout &&
            green_sleep(h, 0) == UV_ECANCELED,
        "and strikes after it");
  green_scope_close(h, &timeout);
  green_close(h);
}

/* ----------------------------------------------------------- deliveries -- */

static int turns;

static int takes_turns(struct green_hub *h, void *arg) {
  (void)arg;
  while (green_sleep(h, 0) == 0) turns++;
  return 0;
}

static int deaf(struct green_hub *h, void *arg) {
  int *codes = arg;
  for (int i = 0; i < 100; i++) codes[i] = green_sleep(h, GREEN_FOREVER);
  return 0;
}

static void test_laps(void) {
  struct green_hub *h = open_hub(0);
  struct green_thread *t, *other;
  int codes[100], good = 1;
  green_spawn(h, &t, deaf, codes);
  green_spawn(h, &other, takes_turns, NULL);
  green_sleep(h, 0);
  green_kill(h, t);
  turns = 0;
  green_join(h, t, GREEN_FOREVER, NULL);
  for (int i = 0; i < 100; i++) good &= codes[i] == UV_ECANCELED;
  CHECK(good && turns >= 98,
        "who swallows a kill in a loop lets the others run in between");
  green_kill(h, other);
  green_join(h, other, GREEN_FOREVER, NULL);
  green_close(h);
}

static int refuses(struct green_hub *h, void *arg) {
  int *n = arg;
  while (!(green_current(h)->flags & GREEN_FORCED)) {
    green_sleep(h, GREEN_FOREVER);
    ++*n;
  }
  return 0;
}

/* New limits that have passed, one after the other, each struck once. */
static int meets_limits(struct green_hub *h, void *arg) {
  struct green_scope s;
  int i;
  for (i = 0; i < 1000; i++) {
    green_scope_open(h, &s, GREEN_SCOPE_TIMEOUT, 1);
    if (green_sleep(h, GREEN_FOREVER) != UV_ECANCELED) abort();
    green_scope_close(h, &s);
  }
  *(int *)arg = 1;
  return 0;
}

static void test_turns(void) {
  struct green_hub *h = open_hub(0);
  int over = 0;
  green_spawn(h, NULL, meets_limits, &over);
  for (turns = 0; turns < 1000 && !over; turns++) green_yield(h);
  CHECK(turns >= 10, "a thread that is struck at each call holds nobody up");
  green_close(h);
}

static void test_forced(void) {
  struct green_hub *h = open_hub(2 * MS);
  struct green_thread *t;
  int n = 0;
  uint64_t start;
  green_spawn(h, &t, refuses, &n);
  green_sleep(h, 0);
  green_kill(h, t);
  start = green_now();
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(n > 1000 || green_now() - start >= MS,
        "a kill is forced after the grace or 1,000 deliveries");
  green_close(h);
  h = open_hub(1000000 * (uint64_t)MS);
  n = 0;
  green_spawn(h, &t, refuses, &n);
  green_sleep(h, 0);
  green_kill(h, t);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(n > 1000 && n < 1100, "with a long grace the deliveries decide");
  green_close(h);
}

static int hides_for_ever(struct green_hub *h, void *arg) {
  struct green_scope shield;
  int r;
  (void)arg;
  green_scope_open(h, &shield, GREEN_SHIELD, GREEN_FOREVER);
  r = green_sleep(h, GREEN_FOREVER);
  green_scope_close(h, &shield);
  return r;
}

static void test_close(void) {
  struct green_hub *h = open_hub(2 * MS);
  green_spawn(h, NULL, hides_for_ever, NULL);
  green_sleep(h, 0);
  CHECK(green_close(h) == 0, "closing ends a shield that has no limit");
}

static int leaves_open(struct green_hub *h, void *arg) {
  struct green_scope *s = arg;
  green_scope_open(h, &s[0], GREEN_SCOPE_TIMEOUT, in_ms(10000));
  green_scope_open(h, &s[1], GREEN_SHIELD, in_ms(10000));
  return 0;
}

static void test_left_open(void) {
  struct green_hub *h = open_hub(0);
  struct green_thread *t;
  struct green_scope s[2];
  green_spawn(h, &t, leaves_open, s);
  green_join(h, t, GREEN_FOREVER, NULL);
  CHECK(h->heap.count == 0 && !s[0].thread && !s[1].thread,
        "what a thread leaves open is closed when it ends");
  green_close(h);
}

int main(void) {
  test_timeout();
  test_on_time();
  test_nesting();
  test_kill_first();
  test_shield();
  test_worn();
  test_outside();
  test_laps();
  test_turns();
  test_forced();
  test_close();
  test_left_open();
  return test_end();
}
