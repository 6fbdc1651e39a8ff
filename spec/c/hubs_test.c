/* hubs_test.c - several hubs in several OS threads of one process at once, and
 * posts between them. Also run under ThreadSanitizer: few stacks, no races.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../../core/internal.h"
#include "test.h"

/* libuv closes descriptors by syscall(2), which the sanitizer does not see: it
 * takes the next use of a number for a race with the last one. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
  return "race:epoll_create1\nrace:pipe2\nrace:eventfd\n";
}

enum { HUBS = 4, THREADS = 50, LAPS = 40, ROUNDS = 200, LIVES = 5 };

struct host {
  pthread_t thread, self; /* as the creator, and as it knows itself */
  struct green_hub *hub;
  struct green_post *post, *next; /* own, and the neighbour's */
  struct host *neighbour;
  struct green_list wait;
  int number, laps, received, bad;
};

static struct host hosts[HUBS];
static pthread_barrier_t barrier;

static int laps(struct green_hub *h, void *arg) {
  struct host *self = arg;
  for (int i = 0; i < LAPS; i++) {
    uint64_t deadline = i % 8 ? 0 : green_now() + 100000;
    if (green_sleep(h, deadline) < 0) return 1;
    self->laps++;
  }
  return 0;
}

/* One hub after the other, while the others do the same: slabs of stacks come
 * and go in the list that all share. */
static void live_and_die(struct host *self) {
  for (int life = 0; life < LIVES; life++) {
    if (green_open(&self->hub, NULL) < 0) abort();
    for (int i = 0; i < THREADS; i++)
      self->bad += green_spawn(self->hub, NULL, laps, self) < 0;
    self->bad += green_wait_others(self->hub, GREEN_FOREVER) < 0;
    self->bad += green_close(self->hub) != 0;
  }
}

static void *lives(void *arg) {
  live_and_die(arg);
  return NULL;
}

static void test_independent(void) {
  int all = 0, bad = 0;
  for (int i = 0; i < HUBS; i++) {
    hosts[i].laps = hosts[i].bad = 0;
    pthread_create(&hosts[i].thread, NULL, lives, &hosts[i]);
  }
  for (int i = 0; i < HUBS; i++) {
    pthread_join(hosts[i].thread, NULL);
    all += hosts[i].laps;
    bad += hosts[i].bad;
  }
  CHECK(all == HUBS * LIVES * THREADS * LAPS && bad == 0,
        "hubs in several OS threads run, open and close independently");
}

/* ------------------------------------------------------------ a ring -- */

static void receive(struct green_hub *h, void *arg) {
  struct host *self = arg;
  self->bad += h != self->hub || !pthread_equal(pthread_self(), self->self);
  self->received++;
  green_wake_all(h, &self->wait, GREEN_WOKEN);
}

static int passes_on(struct green_hub *h, void *arg) {
  static const struct green_wait_kind kind = {"ring", NULL, NULL};
  struct host *self = arg;
  for (int i = 1; i <= ROUNDS; i++) {
    if (self->number == 0)
      self->bad += green_post_send(self->next, receive, self->neighbour) != 0;
    while (self->received < i)
      if (green_wait(h, &kind, NULL, &self->wait, GREEN_FOREVER) < 0) return 1;
    if (self->number != 0)
      self->bad += green_post_send(self->next, receive, self->neighbour) != 0;
  }
  return 0;
}

static void *rings(void *arg) {
  struct host *self = arg;
  struct green_thread *t;
  int result = -1;
  self->self = pthread_self();
  if (green_open(&self->hub, NULL) < 0) abort();
  if (green_post_open(self->hub, &self->post) < 0) abort();
  green_list_init(&self->wait);
  pthread_barrier_wait(&barrier);
  self->next = self->neighbour->post;
  green_post_hold(self->next);
  pthread_barrier_wait(&barrier);
  green_spawn(self->hub, NULL, laps, self);
  green_spawn(self->hub, &t, passes_on, self);
  green_join(self->hub, t, GREEN_FOREVER, &result);
  self->bad += result != 0;
  green_wait_others(self->hub, GREEN_FOREVER);
  green_post_close(self->hub, self->post);
  self->bad += green_close(self->hub) != 0;
  green_post_release(self->next);
  return NULL;
}

static void test_ring(void) {
  int received = 0, bad = 0;
  pthread_barrier_init(&barrier, NULL, HUBS);
  for (int i = 0; i < HUBS; i++) {
    hosts[i].number = i;
    hosts[i].bad = hosts[i].received = 0;
    hosts[i].neighbour = &hosts[(i + 1) % HUBS];
  }
  for (int i = 0; i < HUBS; i++)
    pthread_create(&hosts[i].thread, NULL, rings, &hosts[i]);
  for (int i = 0; i < HUBS; i++) {
    pthread_join(hosts[i].thread, NULL);
    received += hosts[i].received;
    bad += hosts[i].bad;
  }
  pthread_barrier_destroy(&barrier);
  CHECK(received == HUBS * ROUNDS && bad == 0,
        "a token goes round four hubs 200 times by posts");
}

/* ------------------------------------------- two hubs in one OS thread -- */

static int says(struct green_hub *h, void *arg) {
  (void)h;
  ++*(int *)arg;
  return 0;
}

static void test_nested(void) {
  struct green_hub *a, *b;
  int n = 0;
  if (green_open(&a, NULL) < 0 || green_open(&b, NULL) < 0) abort();
  green_spawn(a, NULL, says, &n);
  green_spawn(b, NULL, says, &n);
  green_wait_others(b, GREEN_FOREVER);
  CHECK(n == 1, "one OS thread may have two hubs; each runs its own threads");
  green_wait_others(a, GREEN_FOREVER);
  CHECK(n == 2 && green_close(a) == 0 && green_close(b) == 0,
        "when it is blocked in");
}

int main(void) {
  test_independent();
  test_ring();
  test_nested();
  return test_end();
}
