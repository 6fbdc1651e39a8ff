/* timer_test.c - deadlines: never early, in order, and gone when removed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

/* ---------------------------------------------------------------- sleep -- */

static int early, ran;
static int order[1000];

static int sleeps(struct green_hub *h, void *arg) {
  uint64_t deadline = *(uint64_t *)arg;
  int r = green_sleep(h, deadline);
  early += green_now() < deadline || r != 0;
  return 0;
}

static void test_never_early(void) {
  static uint64_t deadlines[300];
  struct green_hub *h = open_hub();
  uint64_t now = green_now();
  for (int i = 0; i < 300; i++) {
    deadlines[i] = now + (uint64_t)(i * 7919 % 300) * 70001;
    green_spawn(h, NULL, sleeps, &deadlines[i]);
  }
  green_wait_others(h, GREEN_FOREVER);
  CHECK(early == 0, "300 sleeps of 0 to 20 ms: none ends early");
  CHECK(green_sleep(h, 1) == 0, "a deadline in the past is over at once");
  green_close(h);
}

/* Deadlines that pass while the hub is about to sleep. */
static void test_short(void) {
  struct green_hub *h = open_hub();
  int good = 1;
  for (int i = 0; i < 1000; i++)
    good &= green_sleep(h, green_now() + (uint64_t)(i % 400) * 10) == 0;
  CHECK(good, "1,000 sleeps of up to 4 microseconds all end");
  green_close(h);
}

static struct numbered {
  uint64_t deadline;
  int number;
} numbered[1000];

static int in_order(struct green_hub *h, void *arg) {
  struct numbered *n = arg;
  green_sleep(h, n->deadline);
  order[ran++] = n->number;
  return 0;
}

/* In virtual time, in which it cannot pass while they begin. */
static void test_equal(void) {
  struct green_hub *h = open_hub();
  uint64_t deadline;
  int good = green_clock_freeze(h, 0) == 0;
  deadline = green_now() + 2 * MS;
  for (int i = 0; i < 1000; i++) {
    numbered[i].deadline = deadline;
    numbered[i].number = i;
    green_spawn(h, NULL, in_order, &numbered[i]);
  }
  green_wait_others(h, GREEN_FOREVER);
  for (int i = 0; i < 1000; i++) good &= order[i] == i;
  CHECK(ran == 1000 && good,
        "1,000 sleeps with one deadline end in the order they began");
  green_close(h);
}

static void run(struct green_hub *h, struct green_thread *t) {
  do {
    order[ran++] = (int)(intptr_t)t->user;
    t->state = GREEN_DONE;
  } while ((t = green_run_next(h, t, GREEN_ENDED)));
}

static void test_start_at(void) {
  static const struct green_class klass = {"later", run, NULL, NULL, NULL};
  struct green_hub *h = open_hub();
  struct green_family family;
  struct green_thread *t[3];
  uint64_t now = green_now();
  ran = 0;
  if (green_family_open(h, &family, &klass) < 0) abort();
  for (intptr_t i = 0; i < 3; i++) {
    t[i] = green_thread_new(&family);
    t[i]->user = (void *)i;
    green_start(h, t[i], now + (uint64_t)(3 - i) * MS);
  }
  green_kill(h, t[1]);
  green_wait_others(h, GREEN_FOREVER);
  CHECK(ran == 2 && order[0] == 2 && order[1] == 0 &&
            green_now() >= now + 3 * MS,
        "threads start at their time; one that was killed before does not");
  CHECK(green_close(h) == UV_EBUSY, "a hub with a family stays open");
  green_family_close(&family);
  green_close(h);
}

/* ---------------------------------------------------------------- model -- */

enum { TIMERS = 500, STEPS = 100000, FEW_STEPS = 5000 };

static struct one {
  struct green_timer timer;
  uint64_t deadline, seq; /* the model's; 0: not armed */
} one[TIMERS];
static uint64_t now_fake, seq, last_deadline, last_seq;
static int wrong, fired;

static uint32_t dice(void) {
  static uint64_t seed = 88172645463325252u;
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)(seed >> 16);
}

/* Checks a firing against the model: armed, due, and not before any other that
 * fired. */
static void fire(struct green_hub *h, struct green_timer *timer) {
  struct one *o = green__container(timer, struct one, timer);
  (void)h;
  wrong += !o->deadline || o->deadline > now_fake || timer->slot != 0;
  wrong += o->deadline < last_deadline ||
           (o->deadline == last_deadline && o->seq < last_seq);
  last_deadline = o->deadline;
  last_seq = o->seq;
  o->deadline = 0;
  fired++;
}

static void arm(struct green_hub *h, struct one *o) {
  o->deadline = now_fake + 1 + dice() % 50; /* many are equal */
  o->seq = ++seq;
  green_timer_start(h, &o->timer, o->deadline);
}

static void advance(struct green_hub *h) {
  now_fake += dice() % 8;
  last_deadline = 0;
  green__timers_fire(h, now_fake);
  for (int i = 0; i < TIMERS; i++)
    wrong += (one[i].deadline && one[i].deadline <= now_fake) ||
             (one[i].deadline != 0) != (one[i].timer.slot != 0) ||
             (one[i].timer.slot &&
              green_timer_deadline(h, one[i].timer.slot) != one[i].deadline);
}

static void test_model(void) {
  struct green_hub *h = open_hub();
  int steps = RUNNING_ON_VALGRIND ? FEW_STEPS : STEPS;
  for (int i = 0; i < TIMERS; i++) one[i].timer.fire = fire;
  for (int i = 0; i < steps; i++) {
    struct one *o = &one[dice() % TIMERS];
    if (dice() % 3) {
      arm(h, o); /* also one that is armed: it is moved */
    } else {
      green_timer_stop(h, &o->timer); /* also one that is not */
      o->deadline = 0;
    }
    if (dice() % 64 == 0) advance(h);
  }
  now_fake += 100;
  advance(h);
  CHECK(wrong == 0 && fired > steps / 50,
        "100,000 random arms and cancels fire as a simple model says");
  CHECK(h->heap.count == 0, "and none is left over");
  green_close(h);
}

static void sets_flag(struct green_hub *h, struct green_timer *timer) {
  (void)timer;
  ran++;
  (void)h;
}

static void test_timer(void) {
  struct green_hub *h = open_hub();
  struct green_timer a = {0, sets_flag}, b = {0, sets_flag};
  struct green_stats s;
  uint64_t now = green_now();
  ran = 0;
  green_timer_start(h, &a, now + MS);
  green_timer_start(h, &b, now + 1000000 * (uint64_t)MS);
  green_stats(h, &s);
  CHECK(s.timers == 2 && green_timer_deadline(h, a.slot) == now + MS,
        "an armed timer knows its deadline");
  while (!ran) green_sleep(h, green_now() + 3 * MS);
  CHECK(ran == 1 && !a.slot && b.slot, "a timer fires without a thread");
  green_timer_start(h, &b, GREEN_FOREVER);
  CHECK(!b.slot && green_timer_deadline(h, b.slot) == GREEN_FOREVER,
        "set to no deadline it is not armed");
  green_timer_stop(h, &b);
  green_close(h);
}

int main(void) {
  test_never_early();
  test_short();
  test_equal();
  test_start_at();
  test_timer();
  test_model();
  return test_end();
}
