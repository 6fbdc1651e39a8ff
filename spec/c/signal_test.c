/* signal_test.c - conditions of the program's own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"
#include "test.h"

enum { MS = 1000000, FEW = 3 };

static struct green_hub *hub;
static struct green_signal signal_; /* of zeros */
static int order[8], ended, codes[8];

static int waits(struct green_hub *h, void *arg) {
  int n = (int)(intptr_t)arg;
  codes[n] = green_signal_wait(h, &signal_, GREEN_FOREVER);
  order[ended++] = n;
  return 0;
}

static struct green_thread *threads[FEW];

static void begin(void) {
  ended = 0;
  for (int i = 0; i < FEW; i++)
    green_spawn(hub, &threads[i], waits, (void *)(intptr_t)i);
  green_yield(hub);
}

static void join_all(void) {
  for (int i = 0; i < FEW; i++)
    green_join(hub, threads[i], GREEN_FOREVER, NULL);
}

static void test_order(void) {
  CHECK(green_signal_one(hub, &signal_) == 0 &&
            green_signal_all(hub, &signal_) == 0,
        "a signal without waiters does nothing, and needs no beginning");
  begin();
  CHECK(strcmp(green_waits_for(threads[0]), "signal") == 0 && ended == 0,
        "threads wait for it");
  CHECK(green_signal_one(hub, &signal_) == 1 && ended == 0,
        "to signal never switches");
  green_yield(hub);
  CHECK(ended == 1 && order[0] == 0 && codes[0] == 0,
        "one goes on, the first that came");
  CHECK(green_signal_all(hub, &signal_) == 2, "or all");
  join_all();
  CHECK(ended == 3 && order[1] == 1 && order[2] == 2, "in their order");
}

static int signals_once(struct green_hub *h, void *arg) {
  (void)arg;
  return green_signal_one(h, &signal_);
}

static void test_budget(void) {
  int seen = 0;
  for (int calls = 0; calls < 70; calls++) {
    green_yield(hub);
    for (int i = 0; i < calls; i++)
      if (green_signal_wait(hub, &signal_, 1) != UV_ETIMEDOUT) abort();
    green_spawn(hub, NULL, signals_once, NULL);
    seen += green_signal_wait(hub, &signal_, green_in(1000 * MS)) == 0;
  }
  CHECK(seen == 70,
        "no signal comes before the wait, however many calls before "
        "it did not have to wait");
}

static void test_limits(void) {
  CHECK(
      green_signal_wait(hub, &signal_, 0) == UV_ETIMEDOUT &&
          green_signal_wait(hub, &signal_, green_now() - 1) == UV_ETIMEDOUT &&
          green_signal_wait(hub, &signal_, green_in(MS)) == UV_ETIMEDOUT,
      "a wait ends at its deadline");
  CHECK(green_signal_wait(hub, &signal_, GREEN_FOREVER) == GREEN_EDEADLK,
        "one that nobody could end is a deadlock");
}

static void test_kills(void) {
  begin();
  green_kill(hub, threads[1]);
  green_signal_one(hub, &signal_);
  green_kill(hub, threads[0]);
  green_yield(hub);
  CHECK(codes[1] == UV_ECANCELED, "a kill ends a wait");
  CHECK(codes[0] == 0, "one that was signalled before has got the signal");
  green_signal_all(hub, &signal_);
  join_all();
  CHECK(codes[2] == 0, "others wait on");
}

static int killed_first(struct green_hub *h, void *arg) {
  (void)arg;
  green_kill(h, green_current(h));
  return green_signal_wait(h, &signal_, GREEN_FOREVER);
}

static void test_entry(void) {
  struct green_thread *t;
  int r = 0;
  green_spawn(hub, &t, killed_first, NULL);
  green_join(hub, t, GREEN_FOREVER, &r);
  CHECK(r == UV_ECANCELED && green_signal_all(hub, &signal_) == 0,
        "a thread that was killed does not begin to wait");
}

/* A bounded buffer, as in every textbook. */
static struct {
  struct green_signal filled, emptied;
  int items[4], count, first;
} buffer;

static int produce(struct green_hub *h, void *arg) {
  (void)arg;
  for (int i = 0; i < 1000; i++) {
    while (buffer.count == 4)
      green_signal_wait(h, &buffer.emptied, GREEN_FOREVER);
    buffer.items[(buffer.first + buffer.count++) % 4] = i;
    green_signal_one(h, &buffer.filled);
  }
  return 0;
}

static int consume(struct green_hub *h, void *arg) {
  int good = 1;
  (void)arg;
  for (int i = 0; i < 1000; i++) {
    while (buffer.count == 0)
      green_signal_wait(h, &buffer.filled, GREEN_FOREVER);
    good &= buffer.items[buffer.first] == i;
    buffer.first = (buffer.first + 1) % 4;
    buffer.count--;
    green_signal_one(h, &buffer.emptied);
  }
  return good;
}

static void test_buffer(void) {
  struct green_thread *t;
  int good = 0;
  green_spawn(hub, NULL, produce, NULL);
  green_spawn(hub, &t, consume, NULL);
  green_join(hub, t, GREEN_FOREVER, &good);
  CHECK(good, "a bounded buffer is two signals");
}

static void signals(struct green_hub *h, void *arg) {
  green_signal_all(h, arg);
}

/* As long as the post is open, the wait is none for ever. */
static void test_post(void) {
  struct green_post *post;
  green_post_open(hub, &post);
  green_post_send(post, signals, &signal_);
  CHECK(green_signal_wait(hub, &signal_, GREEN_FOREVER) == 0,
        "a callback of the hub may signal");
  green_post_close(hub, post);
}

int main(void) {
  if (green_open(&hub, NULL) < 0) return 1;
  test_order();
  test_budget();
  test_limits();
  test_kills();
  test_entry();
  test_buffer();
  test_post();
  CHECK(green_close(hub) == 0, "the hub can be closed");
  return test_end();
}
