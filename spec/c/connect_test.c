/* connect_test.c - connections that C threads make and accept, also where
 * descriptors run out and connections break while they wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"
#include "test.h"

enum { MS = 1000000 };

static struct green_hub *hub;

/* In place of libc's: fails with the errors of the list first. */
static int errors[80], errors_left, accepts;

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
  accepts++;
  if (errors_left > 0) {
    errno = errors[--errors_left];
    return -1;
  }
  return (int)syscall(SYS_accept4, fd, address, size, flags);
}

static void fail_with(int error, int times) {
  for (errors_left = 0; errors_left < times;) errors[errors_left++] = error;
}

/* ------------------------------------------------------------- fixtures -- */

struct place {
  struct sockaddr_in address;
  socklen_t size;
  int fd;
};

static void listen_at(struct place *p, int backlog) {
  memset(p, 0, sizeof *p);
  p->size = sizeof p->address;
  p->address.sin_family = AF_INET;
  p->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (p->fd < 0 || bind(p->fd, (void *)&p->address, p->size) < 0 ||
      listen(p->fd, backlog) < 0 ||
      getsockname(p->fd, (void *)&p->address, &p->size) < 0)
    abort();
}

static int dial(const struct place *p, uint64_t deadline) {
  return green_connect(hub, (const void *)&p->address, p->size, deadline);
}

struct call {
  int fd, r;
  uint64_t deadline;
};

static int accepter(struct green_hub *h, void *arg) {
  struct call *c = arg;
  c->r = green_accept(h, c->fd, c->deadline);
  return 0;
}

static struct green_thread *begin(green_fn fn, void *arg) {
  struct green_thread *t;
  if (green_spawn(hub, &t, fn, arg) < 0) abort();
  green_yield(hub);
  green_yield(hub);
  return t;
}

static int end(struct green_thread *t, const struct call *c) {
  if (green_join(hub, t, green_in(UINT64_C(5000) * MS), NULL) < 0) abort();
  return c->r;
}

/* ---------------------------------------------------------------- tests -- */

static void test_both(void) {
  struct call c = {.deadline = GREEN_FOREVER};
  struct green_thread *t;
  struct place p;
  char byte = 0;
  int fd;
  listen_at(&p, 10);
  c.fd = p.fd;
  t = begin(accepter, &c);
  CHECK(strcmp(green_waits_for(t), "accept") == 0, "an accepter waits");
  fd = dial(&p, GREEN_FOREVER);
  CHECK(fd >= 0 && end(t, &c) >= 0, "for a connection that another makes");
  CHECK(green_write(hub, fd, "x", 1, GREEN_FOREVER, NULL) == 0 &&
            green_read(hub, c.r, &byte, 1, GREEN_FOREVER) == 1 && byte == 'x',
        "by which bytes go");
  CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK && fcntl(fd, F_GETFD) & FD_CLOEXEC &&
            fcntl(c.r, F_GETFL) & O_NONBLOCK &&
            fcntl(c.r, F_GETFD) & FD_CLOEXEC,
        "both ends are non-blocking and closed on exec");
  CHECK(green_accept(hub, p.fd, 0) == UV_ETIMEDOUT &&
            green_accept(hub, p.fd, green_now() - 1) == UV_ETIMEDOUT &&
            green_accept(hub, p.fd, green_in(2 * MS)) == UV_ETIMEDOUT,
        "where nobody comes, accept tries or waits as long as it may");
  t = begin(accepter, &c);
  green_close_fd(hub, c.r);
  green_close_fd(hub, p.fd);
  CHECK(end(t, &c) == UV_EBADF, "a listener that is closed ends the wait");
  green_close_fd(hub, fd);
  CHECK(dial(&p, GREEN_FOREVER) == UV_ECONNREFUSED,
        "where nobody listens, a connection is refused");
}

static void test_try(void) {
  struct place p;
  int fd, r;
  listen_at(&p, 10);
  fd = dial(&p, green_now() - 1);
  CHECK(fd >= 0 || fd == UV_ETIMEDOUT, "a connection may be tried");
  r = green_accept(hub, p.fd, green_in(1000 * (uint64_t)MS));
  if (r >= 0) green_close_fd(hub, r);
  if (fd >= 0) green_close_fd(hub, fd);
  r = green_connect(hub, (const void *)&p.address, 1, GREEN_FOREVER);
  CHECK(r == UV_EINVAL, "half an address is none");
  CHECK(green_accept(hub, -1, GREEN_FOREVER) == UV_EBADF,
        "nor is -1 a listener");
  fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(green_accept(hub, fd, GREEN_FOREVER) == UV_EINVAL,
        "nor is a socket that does not listen");
  green_close_fd(hub, fd);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(
      green_accept(hub, fd, GREEN_FOREVER) == -EOPNOTSUPP && errors_left == 0,
      "nor one of datagrams");
  green_close_fd(hub, fd);
  green_close_fd(hub, p.fd);
}

/* A Unix listener whose queue is full says only "again". */
static void test_full_queue(void) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + 20;
  int fds[8], n = 0, i, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(a.sun_path + 1, 19, "green-%d", (int)getpid());
  if (bind(fd, (void *)&a, size) < 0 || listen(fd, 1) < 0) abort();
  while (n < 8 && (fds[n] = green_connect(hub, (void *)&a, size, 0)) >= 0) n++;
  CHECK(n >= 1 && n < 8 && fds[n] == UV_ETIMEDOUT,
        "a full queue takes nobody at once");
  CHECK(green_connect(hub, (void *)&a, size, green_in(3 * MS)) == UV_ETIMEDOUT,
        "nor before the deadline");
  i = green_accept(hub, fd, GREEN_FOREVER);
  green_close_fd(hub, i);
  i = green_connect(hub, (void *)&a, size, green_in(1000 * (uint64_t)MS));
  CHECK(i >= 0, "but as soon as there is room");
  green_close_fd(hub, i);
  while (n > 0) green_close_fd(hub, fds[--n]);
  green_close_fd(hub, fd);
}

static void test_broken(void) {
  static const int kinds[] = {EPERM, ETIMEDOUT, ENONET, ECONNRESET, EPROTO};
  struct place p;
  int fd, r;
  size_t i;
  listen_at(&p, 10);
  fd = dial(&p, GREEN_FOREVER);
  fail_with(ECONNABORTED, 3);
  r = green_accept(hub, p.fd, GREEN_FOREVER);
  CHECK(r >= 0 && errors_left == 0,
        "connections that broke in the queue are passed over");
  green_close_fd(hub, r);
  green_close_fd(hub, fd);
  for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    fd = dial(&p, GREEN_FOREVER);
    fail_with(kinds[i], 1);
    r = green_accept(hub, p.fd, GREEN_FOREVER);
    CHECK(r >= 0 && errors_left == 0, "whatever the kernel says of them");
    if (r >= 0) green_close_fd(hub, r);
    green_close_fd(hub, fd);
  }
  accepts = 0;
  fail_with(ENETDOWN, 80);
  CHECK(green_accept(hub, p.fd, 0) == UV_ENETDOWN && accepts < 80,
        "but an error that stays does not spin");
  errors_left = 0;
  green_close_fd(hub, p.fd);
}

/* Other descriptors take all numbers that are left. */
static int use_up(int *fds, int most) {
  int n = 0;
  while (n < most && (fds[n] = dup(0)) >= 0) n++;
  return n;
}

static int gives_back(struct green_hub *h, void *arg) {
  int *fd = arg;
  green_sleep(h, green_in(10 * MS));
  close(*fd);
  return 0;
}

/* Not under valgrind, which itself takes the connection and closes it. */
static void test_exhausted(void) {
  struct rlimit before, few;
  struct green_thread *t;
  struct place p;
  int fds[200], n, fd, r;
  getrlimit(RLIMIT_NOFILE, &before);
  few = before;
  few.rlim_cur = 100;
  listen_at(&p, 10);
  fd = dial(&p, GREEN_FOREVER);
  setrlimit(RLIMIT_NOFILE, &few);
  n = use_up(fds, 200);
  CHECK(green_accept(hub, p.fd, 0) == UV_EMFILE &&
            dial(&p, GREEN_FOREVER) == UV_EMFILE,
        "without descriptors the codes say so");
  CHECK(green_accept(hub, p.fd, green_in(8 * MS)) == UV_EMFILE,
        "until the deadline");
  t = begin(gives_back, &fds[n - 1]);
  r = green_accept(hub, p.fd, green_in(5000 * (uint64_t)MS));
  CHECK(r >= 0, "accept goes on when there are some again");
  green_join(hub, t, GREEN_FOREVER, NULL);
  green_close_fd(hub, r);
  for (r = 0; r < n - 1; r++) close(fds[r]);
  setrlimit(RLIMIT_NOFILE, &before);
  green_close_fd(hub, fd);
  green_close_fd(hub, p.fd);
}

static int killed_in_pause(struct green_hub *h, void *arg) {
  struct call *c = arg;
  fail_with(EMFILE, 80);
  c->r = green_accept(h, c->fd, GREEN_FOREVER);
  return 0;
}

static void test_kills(void) {
  struct call c = {.deadline = GREEN_FOREVER};
  struct green_thread *t;
  struct place p;
  listen_at(&p, 10);
  c.fd = p.fd;
  t = begin(accepter, &c);
  green_kill(hub, t);
  CHECK(end(t, &c) == UV_ECANCELED, "a kill ends an accept that waits");
  t = begin(killed_in_pause, &c);
  green_kill(hub, t);
  CHECK(end(t, &c) == UV_ECANCELED, "and one that has no descriptors");
  errors_left = 0;
  green_close_fd(hub, p.fd);
}

/* The number of an accepted connection is told to be another file's. */
static void test_number(void) {
  struct place p;
  char byte;
  int fd, first, again;
  listen_at(&p, 10);
  fd = dial(&p, GREEN_FOREVER);
  first = green_accept(hub, p.fd, GREEN_FOREVER);
  green_read(hub, first, &byte, 1, green_in(MS)); /* it is watched now */
  close(first);
  close(fd);
  fd = dial(&p, GREEN_FOREVER);
  again = green_accept(hub, p.fd, GREEN_FOREVER);
  green_write(hub, fd, "x", 1, GREEN_FOREVER, NULL);
  CHECK(green_read(hub, again, &byte, 1, GREEN_FOREVER) == 1,
        "a number that is used again is watched anew");
  green_close_fd(hub, fd);
  green_close_fd(hub, again);
  green_close_fd(hub, p.fd);
}

int main(void) {
  if (green_open(&hub, NULL) < 0) return 1;
  test_both();
  test_try();
  test_full_queue();
  test_broken();
  if (RUNNING_ON_VALGRIND)
    SKIP("accept goes on when there are descriptors again", "valgrind");
  else
    test_exhausted();
  test_kills();
  test_number();
  CHECK(green_close(hub) == 0, "the hub can be closed");
  return test_end();
}
