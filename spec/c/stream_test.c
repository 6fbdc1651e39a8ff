/* stream_test.c - reads and writes by C threads, of descriptors of any kind,
 * and what happens to them meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "test.h"

enum { MS = 1000000, BIG = 4 << 20 };

static struct green_hub *hub;
static char big[BIG], back[BIG];

static void open_hub(void) {
  if (green_open(&hub, NULL) < 0) abort();
}

static void pair(int fd[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0) abort();
}

static void close_pair(int fd[2]) {
  green_close_fd(hub, fd[0]);
  green_close_fd(hub, fd[1]);
}

static uint64_t past(void) {
  return green_now() - 1;
}

/* ------------------------------------------------------------- fixtures -- */

struct call {
  int fd, r;
  size_t size, done;
  uint64_t deadline;
  char data[64];
};

static int reader(struct green_hub *h, void *arg) {
  struct call *c = arg;
  c->r = (int)green_read(h, c->fd, c->data, sizeof c->data, c->deadline);
  return 0;
}

static int writer(struct green_hub *h, void *arg) {
  struct call *c = arg;
  c->r = green_write(h, c->fd, big, c->size, c->deadline, &c->done);
  return 0;
}

/* A thread that waits in the call. */
static struct green_thread *begin(green_fn fn, struct call *c) {
  struct green_thread *t;
  if (green_spawn(hub, &t, fn, c) < 0) abort();
  green_yield(hub);
  green_yield(hub);
  return t;
}

static int end(struct green_thread *t, struct call *c) {
  if (green_join(hub, t, green_in(UINT64_C(5000) * MS), NULL) < 0) abort();
  return c->r;
}

/* Reads n bytes into `back`. */
static int drain(struct green_hub *h, int fd, size_t n) {
  size_t done = 0;
  while (done < n) {
    int64_t r = green_read(h, fd, back + done, n - done, GREEN_FOREVER);
    if (r <= 0) return (int)r;
    done += (size_t)r;
  }
  return 1;
}

/* -------------------------------------------------------------- reading -- */

static void test_read(void) {
  struct call c = {.deadline = GREEN_FOREVER};
  struct green_thread *t;
  char data[8];
  int fd[2];
  pair(fd);
  c.fd = fd[0];
  t = begin(reader, &c);
  CHECK(strcmp(green_waits_for(t), "read") == 0, "a reader waits for bytes");
  green_write(hub, fd[1], "hello", 5, GREEN_FOREVER, NULL);
  CHECK(end(t, &c) == 5 && memcmp(c.data, "hello", 5) == 0,
        "and gets those that come, which may be less than it has room for");
  CHECK(!(fcntl(fd[0], F_GETFL) & O_NONBLOCK),
        "the descriptor's flags are as before");
  green_write(hub, fd[1], "abc", 3, GREEN_FOREVER, NULL);
  CHECK(green_read(hub, fd[0], data, 2, past()) == 2 &&
            green_read(hub, fd[0], data, 2, 0) == 1 &&
            green_read(hub, fd[0], data, 2, 0) == UV_ETIMEDOUT &&
            green_read(hub, fd[0], data, 2, past()) == UV_ETIMEDOUT,
        "a deadline that has passed tries once");
  CHECK(green_read(hub, fd[0], data, 2, green_in(2 * MS)) == UV_ETIMEDOUT,
        "one to come ends the wait");
  CHECK(green_read(hub, fd[0], data, 0, 0) == UV_EINVAL,
        "a read of nothing would look like the end, and is refused");
  t = begin(reader, &c);
  green_close_fd(hub, fd[1]);
  CHECK(end(t, &c) == 0 && green_read(hub, fd[0], data, 1, 0) == 0,
        "the end is 0, again and again");
  green_close_fd(hub, fd[0]);
  CHECK(green_read(hub, fd[0], data, 1, 0) == UV_EBADF &&
            green_read(hub, -1, data, 1, GREEN_FOREVER) == UV_EBADF,
        "a descriptor that is closed is UV_EBADF");
}

static void test_two_readers(void) {
  struct call c = {.deadline = GREEN_FOREVER};
  struct green_thread *t;
  int fd[2];
  pair(fd);
  c.fd = fd[0];
  t = begin(reader, &c);
  CHECK(green_read(hub, fd[0], back, 1, GREEN_FOREVER) == UV_EBUSY,
        "a second reader is refused");
  green_kill(hub, t);
  CHECK(end(t, &c) == UV_ECANCELED, "a kill ends the wait of the first");
  close_pair(fd);
}

/* -------------------------------------------------------------- writing -- */

static void fill(void) {
  for (size_t i = 0; i < BIG; i++) big[i] = (char)(i * 7 + i / 251);
}

static void test_write(void) {
  struct call c = {.deadline = GREEN_FOREVER, .size = BIG};
  struct green_thread *t;
  size_t n = 99;
  int fd[2];
  pair(fd);
  c.fd = fd[0];
  t = begin(writer, &c);
  CHECK(strcmp(green_waits_for(t), "write") == 0,
        "a writer of much waits for room");
  CHECK(drain(hub, fd[1], BIG) == 1 && end(t, &c) == 0 && c.done == BIG &&
            memcmp(big, back, BIG) == 0,
        "and writes all of it, in order");
  CHECK(green_write(hub, fd[0], big, 0, 0, &n) == 0 && n == 0,
        "nothing is written at once");
  n = 0;
  CHECK(green_write(hub, fd[0], big, BIG, past(), &n) == UV_ETIMEDOUT &&
            n > 0 && n < BIG,
        "with a deadline that has passed, as much as there is room for");
  CHECK(drain(hub, fd[1], n) == 1 &&
            green_write(hub, fd[0], big, BIG, green_in(2 * MS), &n) ==
                UV_ETIMEDOUT &&
            n > 0 && drain(hub, fd[1], n) == 1 && memcmp(big, back, n) == 0,
        "one that passes meanwhile leaves the rest, and says how much went");
  t = begin(writer, &c);
  green_kill(hub, t);
  CHECK(end(t, &c) == UV_ECANCELED && c.done > 0 && c.done < BIG,
        "so does a kill");
  close_pair(fd);
}

/* Two messages, each of one byte again and again. */
struct message {
  int fd;
  char text[400000];
};

static int sends(struct green_hub *h, void *arg) {
  struct message *m = arg;
  return green_write(h, m->fd, m->text, sizeof m->text, GREEN_FOREVER, NULL);
}

static void test_turns(void) {
  static struct message a, b;
  struct green_thread *t, *u;
  size_t i, changes = 0, n = sizeof a.text;
  int fd[2], r = -1, s = -1;
  pair(fd);
  a.fd = b.fd = fd[0];
  memset(a.text, 'a', n);
  memset(b.text, 'b', n);
  green_spawn(hub, &t, sends, &a);
  green_spawn(hub, &u, sends, &b);
  drain(hub, fd[1], 2 * n);
  for (i = 1; i < 2 * n; i++) changes += back[i] != back[i - 1];
  green_join(hub, t, GREEN_FOREVER, &r);
  green_join(hub, u, GREEN_FOREVER, &s);
  CHECK(r == 0 && s == 0 && changes == 1, "no write lands inside another");
  green_spawn(hub, &t, sends, &a);
  green_spawn(hub, &u, sends, &b);
  green_yield(hub);
  green_yield(hub);
  CHECK(green_write(hub, fd[0], "x", 1, past(), &i) == UV_ETIMEDOUT && i == 0,
        "who has no time to wait for its turn writes nothing");
  green_kill(hub, t);
  green_join(hub, t, GREEN_FOREVER, &r);
  memset(back, 0, 2 * n);
  while (green_read(hub, fd[1], back, BIG, GREEN_FOREVER) > 0)
    if (memchr(back, 'b', BIG)) break;
  CHECK(r == UV_ECANCELED, "a writer that is killed hands the turn on");
  green_kill(hub, u);
  green_join(hub, u, GREEN_FOREVER, NULL);
  close_pair(fd);
}

static void test_broken(void) {
  int fd[2], p[2];
  pair(fd);
  if (pipe(p) < 0) abort();
  green_close_fd(hub, fd[1]);
  green_close_fd(hub, p[0]);
  CHECK(green_write(hub, fd[0], "x", 1, GREEN_FOREVER, NULL) == UV_EPIPE &&
            green_write(hub, p[1], "x", 1, GREEN_FOREVER, NULL) == UV_EPIPE,
        "a socket or pipe that nobody reads is UV_EPIPE, without a signal");
  green_close_fd(hub, fd[0]);
  green_close_fd(hub, p[1]);
}

/* -------------------------------------------- descriptors of other kinds -- */

static void test_pipe(int nonblock) {
  struct call c = {.deadline = GREEN_FOREVER, .size = 300000};
  struct green_thread *t;
  int p[2];
  if (pipe2(p, nonblock) < 0) abort();
  c.fd = p[1];
  memset(back, 0, c.size);
  t = begin(writer, &c);
  CHECK(drain(hub, p[0], c.size) == 1 && end(t, &c) == 0 &&
            memcmp(big, back, c.size) == 0,
        nonblock ? "a pipe that does not block is read and written"
                 : "one that would block the whole hub does not");
  CHECK(green_read(hub, p[0], back, 1, 0) == UV_ETIMEDOUT,
        "an empty one is tried");
  close_pair(p);
}

static void test_files(void) {
  char name[] = "/tmp/stream_test.XXXXXX";
  int fd = mkstemp(name), null = open("/dev/null", O_RDWR),
      dir = open("/", O_RDONLY | O_DIRECTORY);
  unlink(name);
  CHECK(green_write(hub, fd, big, 100000, GREEN_FOREVER, NULL) == 0 &&
            lseek(fd, 0, SEEK_SET) == 0 && drain(hub, fd, 100000) == 1 &&
            memcmp(big, back, 100000) == 0 &&
            green_read(hub, fd, back, 1, GREEN_FOREVER) == 0,
        "a file is written and read, up to its end");
  CHECK(green_write(hub, null, big, 1000, GREEN_FOREVER, NULL) == 0 &&
            green_read(hub, null, back, 1, GREEN_FOREVER) == 0 &&
            green_read(hub, dir, back, 1, GREEN_FOREVER) == UV_EISDIR,
        "and so are devices; a directory is refused");
  green_close_fd(hub, fd);
  green_close_fd(hub, null);
  green_close_fd(hub, dir);
}

/* -------------------------------------------------------- cancellations -- */

static int killed_first(struct green_hub *h, void *arg) {
  int *fd = arg, r[4];
  green_kill(h, green_current(h));
  r[0] = (int)green_read(h, fd[0], back, 1, GREEN_FOREVER);
  r[1] = green_write(h, fd[0], "x", 1, GREEN_FOREVER, NULL);
  r[2] = green_accept(h, fd[0], GREEN_FOREVER);
  r[3] = green_connect(h, (struct sockaddr *)back, 16, GREEN_FOREVER);
  return r[0] == UV_ECANCELED && r[1] == UV_ECANCELED &&
         r[2] == UV_ECANCELED && r[3] == UV_ECANCELED;
}

static void test_killed(void) {
  struct green_thread *t;
  char byte;
  int fd[2], good = 0;
  pair(fd);
  green_write(hub, fd[1], "x", 1, GREEN_FOREVER, NULL);
  green_spawn(hub, &t, killed_first, fd);
  green_join(hub, t, GREEN_FOREVER, &good);
  CHECK(good && green_read(hub, fd[0], &byte, 1, 0) == 1 &&
            green_read(hub, fd[1], &byte, 1, 0) == UV_ETIMEDOUT,
        "a thread that was killed neither reads nor writes any more");
  close_pair(fd);
}

/* ------------------------------------------------------ closed meanwhile -- */

static void test_closed(void) {
  struct call c = {.deadline = GREEN_FOREVER, .size = BIG}, d = c;
  struct green_thread *t, *u;
  int fd[2];
  pair(fd);
  c.fd = d.fd = fd[0];
  t = begin(reader, &c);
  u = begin(writer, &d);
  green_close_fd(hub, fd[0]);
  CHECK(end(t, &c) == UV_EBADF && end(u, &d) == UV_EBADF,
        "a descriptor that is closed meanwhile ends both waits");
  green_close_fd(hub, fd[1]);
  pair(fd);
  c.fd = fd[0];
  t = begin(reader, &c);
  close(fd[0]);
  CHECK(end(t, &c) == UV_EBADF, "a plain close() is noticed, too");
  green_close_fd(hub, fd[1]);
}

static void test_reused(void) {
  struct call c = {.deadline = GREEN_FOREVER};
  struct green_thread *t;
  int fd[2], other[2];
  pair(fd);
  c.fd = fd[0];
  t = begin(reader, &c);
  green_write(hub, fd[1], "1", 1, GREEN_FOREVER, NULL);
  end(t, &c); /* the hub goes on watching */
  close(fd[0]);
  close(fd[1]);
  pair(other);
  t = begin(reader, &c);
  green_write(hub, other[1], "2", 1, GREEN_FOREVER, NULL);
  CHECK(other[0] == fd[0] && end(t, &c) == 1 && c.data[0] == '2',
        "a number that was closed and is another file's by now is that one");
  t = begin(reader, &c);
  close(other[0]);
  close(other[1]);
  pair(fd);
  green_write(hub, fd[1], "3", 1, GREEN_FOREVER, NULL);
  CHECK(fd[0] == c.fd && end(t, &c) == UV_EBADF,
        "but not for who has waited before");
  close_pair(fd);
}

/* The hub verifies waiters in turn, so each of many learns that it was
 * closed. */
static void test_many_closed(void) {
  enum { MANY = 300 };
  static struct call c[MANY];
  static struct green_thread *t[MANY];
  static int other[MANY];
  int i, fd[2], n = 0;
  for (i = 0; i < MANY; i++) {
    pair(fd);
    c[i] = (struct call){.fd = fd[0], .deadline = GREEN_FOREVER};
    other[i] = fd[1];
    if (green_spawn(hub, &t[i], reader, &c[i]) < 0) abort();
  }
  green_yield(hub);
  green_yield(hub);
  for (i = 0; i < MANY; i++) close(c[i].fd);
  for (i = 0; i < MANY; i++) n += end(t[i], &c[i]) == UV_EBADF;
  CHECK(n == MANY, "so are 300 at once, in turn");
  for (i = 0; i < MANY; i++) close(other[i]);
}

/* ------------------------------------------------------------ on no thread */

static void test_host(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *h;
  char byte = 0;
  int fd[2];
  pair(fd);
  green_open(&h, &o);
  CHECK(green_write(h, fd[1], "x", 1, 0, NULL) == 0 &&
            green_read(h, fd[0], &byte, 1, 0) == 1 && byte == 'x' &&
            green_read(h, fd[0], &byte, 1, 0) == UV_ETIMEDOUT &&
            green_read(h, fd[0], &byte, 1, GREEN_FOREVER) == UV_EPERM,
        "a host's stack may try, and not wait");
  green_close(h);
  close(fd[0]);
  close(fd[1]);
}

/* ------------------------------------------------------- nothing is left -- */

static void test_memory(void) {
  struct call c = {.deadline = GREEN_FOREVER};
  int fd[2], n, bad = 0;
  for (n = 1; n < 12; n++) {
    struct green_thread *t;
    pair(fd);
    c.fd = fd[0];
    c.r = -1;
    t = begin(reader, &c); /* its stack is made */
    green_kill(hub, t);
    end(t, &c);
    green_fd_forget(hub, fd[0]);
    green__fail_alloc(n);
    c.deadline = green_in(2 * MS);
    c.r = (int)green_read(hub, fd[0], c.data, 1, c.deadline);
    green__fail_alloc(0);
    bad += c.r != UV_ETIMEDOUT && c.r != UV_ENOMEM;
    green_write(hub, fd[1], "x", 1, GREEN_FOREVER, NULL);
    bad += green_read(hub, fd[0], c.data, 1, GREEN_FOREVER) != 1;
    close_pair(fd);
  }
  CHECK(bad == 0, "without memory a wait fails, and the next one does not");
}

int main(void) {
  fill();
  open_hub();
  test_read();
  test_two_readers();
  test_write();
  test_turns();
  test_broken();
  test_pipe(0);
  test_pipe(O_NONBLOCK);
  test_files();
  test_killed();
  test_closed();
  test_reused();
  test_many_closed();
  test_memory();
  CHECK(green_close(hub) == 0, "the hub can be closed");
  test_host();
  return test_end();
}
