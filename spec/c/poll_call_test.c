/* poll_call_test.c - green_poll(), which is poll(2) for green threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "../../core/internal.h"
#include "pairs.h"
#include "test.h"

struct call {
  struct pollfd fds[N];
  size_t n;
  uint64_t deadline;
  int result, again; /* again: takes a byte, and polls until it gets one */
};

static void prepare(struct call *c, short events, uint64_t deadline) {
  int i;
  memset(c, 0, sizeof *c);
  c->n = N;
  c->deadline = deadline;
  c->result = -1;
  for (i = 0; i < N; i++) c->fds[i] = (struct pollfd){pairs[i][0], events, 0};
}

static int polls(struct green_hub *h, void *arg) {
  struct call *c = arg;
  char byte;
  do {
    c->result = green_poll(h, c->fds, c->n, c->deadline);
    if (!c->again || c->result < 0) return 0;
  } while (read(c->fds[0].fd, &byte, 1) != 1);
  c->again = 0;
  return 0;
}

static void test_ready(void) {
  static struct call c;
  struct green_thread *t;
  prepare(&c, POLLIN, GREEN_FOREVER);
  t = spawn(polls, &c);
  CHECK(strcmp(green_waits_for(t), "poll") == 0, "a thread polls");
  put(N - 1), put(3);
  CHECK(join(t) == 0 && c.result == 2 && c.fds[3].revents == POLLIN &&
            c.fds[N - 1].revents == POLLIN && !c.fds[4].revents,
        "and learns which of many are ready");
  prepare(&c, POLLIN | POLLOUT, GREEN_FOREVER);
  CHECK(polls(hub, &c) == 0 && c.result == N &&
            c.fds[3].revents == (POLLIN | POLLOUT),
        "at once, if some are");
  take(3), take(N - 1);
  CHECK(hub->fd_waits == 0, "nothing is left of the wait");
}

static void test_two(void) {
  static struct call a, b;
  struct green_thread *ta, *tb;
  prepare(&a, POLLIN, GREEN_FOREVER);
  prepare(&b, POLLIN, GREEN_FOREVER);
  a.again = b.again = 1;
  a.n = b.n = 1;
  ta = spawn(polls, &a);
  tb = spawn(polls, &b);
  put(0);
  while (a.again && b.again) green_yield(hub);
  CHECK(a.again + b.again == 1, "of two that poll, one gets the byte");
  put(0);
  CHECK(join(ta) == 0 && join(tb) == 0 && !a.again && !b.again,
        "and the other waits for the next");
}

static void test_ends(void) {
  static struct call c;
  struct green_thread *t;
  prepare(&c, POLLIN, green_in(2 * MS));
  CHECK(join(spawn(polls, &c)) == 0 && c.result == UV_ETIMEDOUT,
        "a deadline ends it");
  prepare(&c, POLLIN, 0);
  CHECK(polls(hub, &c) == 0 && c.result == UV_ETIMEDOUT,
        "one that has passed does not wait");
  prepare(&c, POLLIN, GREEN_FOREVER);
  t = spawn(polls, &c);
  green_kill(hub, t);
  CHECK(join(t) == 0 && c.result == UV_ECANCELED, "a kill ends it");
  CHECK(hub->fd_waits == 0, "nothing is left of these waits either");
}

static void test_odd(void) {
  static struct call c;
  struct green_thread *t;
  prepare(&c, POLLIN, green_in(2 * MS));
  c.n = 0;
  CHECK(join(spawn(polls, &c)) == 0 && c.result == UV_ETIMEDOUT,
        "without descriptors it sleeps");
  prepare(&c, POLLIN, GREEN_FOREVER);
  c.fds[0].fd = -1;
  c.fds[1].events = 0;
  t = spawn(polls, &c);
  put(1), put(2);
  CHECK(join(t) == 0 && c.result == 1 && c.fds[2].revents == POLLIN,
        "entries without a descriptor, or without events, are passed over");
  take(1), take(2);
  c.fds[2].events = POLLPRI;
  CHECK(polls(hub, &c) == 0 && c.result == UV_EINVAL, "others are refused");
}

static void test_closed(void) {
  static struct call c;
  struct green_thread *t;
  prepare(&c, POLLIN, GREEN_FOREVER);
  t = spawn(polls, &c);
  green_close_fd(hub, pairs[7][0]);
  CHECK(join(t) == 0 && c.result == 1 && c.fds[7].revents == POLLNVAL,
        "one that is closed meanwhile is told");
  c.result = 0;
  CHECK(polls(hub, &c) == 0 && c.result == 1, "as is one that was");
  pairs[7][0] = open("/dev/null", O_RDONLY);
  CHECK(polls(hub, &c) == 0 && c.result == 1 && c.fds[7].revents == POLLIN,
        "what the kernel does not watch is ready");
}

static void test_host(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct pollfd p = {pairs[1][0], POLLIN, 0};
  struct green_hub *h;
  if (green_open(&h, &o) < 0) abort();
  CHECK(green_poll(h, &p, 1, GREEN_FOREVER) == UV_EPERM,
        "no host may wait in it");
  CHECK(green_poll(h, &p, 1, 0) == UV_ETIMEDOUT, "but ask it may");
  put(1);
  CHECK(green_poll(h, &p, 1, 0) == 1, "what is ready");
  green_close(h);
}

int main(void) {
  open_pairs();
  test_ready();
  test_two();
  test_ends();
  test_odd();
  test_closed();
  test_host();
  CHECK(close_pairs() == 0, "the hub can be closed");
  return test_end();
}
