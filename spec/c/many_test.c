/* many_test.c - waiting for many descriptors at once.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../../core/fd.h"
#include "pairs.h"
#include "test.h"

static const struct green_wait_kind kind = {"many", NULL, green_set_leave};

/* A set over the near ends, and how a wait for it ended. */
struct look {
  struct green_many fds[N];
  struct green_set set;
  uint64_t deadline;
  int began, reason;
};

static void prepare(struct look *l, int events, uint64_t deadline) {
  int i;
  *l = (struct look){.deadline = deadline, .reason = -1};
  for (i = 0; i < N; i++) {
    l->fds[i].fd = pairs[i][0];
    l->fds[i].events = (uint8_t)events;
  }
  l->set.fds = l->fds;
  l->set.n = N;
}

static int looks(struct green_hub *h, void *arg) {
  struct look *l = arg;
  if (green_keep_reserve(h) < 0) return -1;
  l->began = green_set_begin(h, &l->set, l->deadline, &kind);
  if (l->began < 0) return 0;
  l->reason = (int)green_keep(h);
  green_set_end(h, &l->set);
  return 0;
}

static int reads(struct green_hub *h, void *fd) {
  return green_wait_fd(h, *(int *)fd, GREEN_READABLE, GREEN_FOREVER);
}

static void test_wakes(void) {
  static struct look a, b;
  struct green_thread *ta, *tb, *reader;
  prepare(&a, GREEN_READABLE, GREEN_FOREVER);
  prepare(&b, GREEN_READABLE, GREEN_FOREVER);
  ta = spawn(looks, &a);
  tb = spawn(looks, &b);
  reader = spawn(reads, &pairs[N - 1][0]);
  put(N - 1);
  CHECK(join(ta) == 0 && a.reason == GREEN_WOKEN && join(tb) == 0 &&
            b.reason == GREEN_WOKEN,
        "all that look for it are woken by the last of many");
  CHECK(join(reader) == 0, "and so is the one that reads it");
  CHECK(a.set.held == 0 && a.set.linked == 0 && hub->fd_waits == 0,
        "nothing is left of their waits");
  take(N - 1);
}

static void test_ends(void) {
  static struct look l;
  struct green_thread *t;
  prepare(&l, GREEN_READABLE, green_now() + 5 * MS);
  CHECK(join(spawn(looks, &l)) == 0 && l.reason == GREEN_TIMEOUT,
        "a deadline ends it");
  prepare(&l, GREEN_READABLE, GREEN_FOREVER);
  t = spawn(looks, &l);
  green_kill(hub, t);
  CHECK(join(t) == 0 && l.reason == GREEN_INTERRUPT, "a kill ends it");
  prepare(&l, GREEN_READABLE | GREEN_WRITABLE, GREEN_FOREVER);
  CHECK(join(spawn(looks, &l)) == 0 && l.reason == GREEN_WOKEN,
        "it may look for both directions");
  CHECK(hub->fd_waits == 0, "nothing is left of these waits either");
}

static void test_twice(void) {
  static struct look l;
  struct green_thread *t;
  prepare(&l, GREEN_READABLE, GREEN_FOREVER);
  l.fds[1].fd = l.fds[2].fd = l.fds[0].fd;
  t = spawn(looks, &l);
  put(0);
  CHECK(join(t) == 0 && l.reason == GREEN_WOKEN,
        "a descriptor may be listed three times");
  take(0);
}

static void test_closed(void) {
  static struct look l;
  struct green_thread *t;
  struct green_fd *f;
  if (green_fd_open(hub, pairs[7][0], &f) < 0) abort();
  prepare(&l, GREEN_READABLE, GREEN_FOREVER);
  l.fds[7].own = f;
  t = spawn(looks, &l);
  green_fd_close(hub, f);
  CHECK(join(t) == 0 && l.reason == GREEN_CLOSED && l.fds[7].closed,
        "an owner that closes a descriptor ends it, and it is told which");
  close(pairs[9][0]);
  prepare(&l, GREEN_READABLE, GREEN_FOREVER);
  join(spawn(looks, &l));
  CHECK(l.began == UV_EBADF && l.fds[9].closed && !l.fds[8].closed,
        "one that is closed already is told at once");
  CHECK(l.set.held == 0 && hub->fd_waits == 0, "and nothing has begun");
  pairs[9][0] = dup(pairs[9][1]);
}

/* The caller's own descriptors stay watched; borrowed ones do not. */
static void test_watched(void) {
  static struct look l;
  struct green_thread *t;
  struct green_fd *f;
  uint32_t before;
  if (green_fd_open(hub, pairs[3][0], &f) < 0) abort();
  before = hub->armed_fds;
  prepare(&l, GREEN_READABLE, GREEN_FOREVER);
  l.fds[3].own = f;
  t = spawn(looks, &l);
  CHECK(hub->armed_fds == before + N, "all are watched during the wait");
  put(5);
  join(t);
  CHECK(hub->armed_fds == before + 1 && f->armed,
        "after it, only those whose owner will tell of their end");
  take(5);
  green_fd_close(hub, f);
}

int main(void) {
  open_pairs();
  test_wakes();
  test_ends();
  test_twice();
  test_closed();
  test_watched();
  CHECK(close_pairs() == 0, "the hub can be closed");
  return test_end();
}
