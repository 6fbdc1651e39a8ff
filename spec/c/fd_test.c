/* fd_test.c - waiting for descriptors: anybody's, and those kept armed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

/* ------------------------------------------------------------- fixtures -- */

static struct green_hub *hub;
static int ends[2];
static struct green_fd *left, *right;

static void open_pair(void) {
  if (green_open(&hub, NULL) < 0) abort();
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  if (green_fd_open(hub, ends[0], &left) < 0) abort();
  if (green_fd_open(hub, ends[1], &right) < 0) abort();
}

static void close_end(int i, struct green_fd *f) {
  green_fd_close(hub, f);
  close(ends[i]);
}

static void close_pair(void) {
  close_end(0, left);
  close_end(1, right);
  green_close(hub);
}

static void put(int fd, const char *text) {
  if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) abort();
}

static struct green_thread *spawn(green_fn fn, void *arg) {
  struct green_thread *t;
  if (green_spawn(hub, &t, fn, arg) < 0) abort();
  return t;
}

static int join(struct green_thread *t) {
  int result = -12345, r = green_join(hub, t, GREEN_FOREVER, &result);
  return r < 0 ? r : result;
}

static int reads(struct green_hub *h, void *f) {
  return green_fd_wait(h, f, GREEN_READABLE, GREEN_FOREVER);
}

static int writes(struct green_hub *h, void *f) {
  return green_fd_wait(h, f, GREEN_WRITABLE, GREEN_FOREVER);
}

/* Writes until the other side must read first. */
static size_t fill(int fd) {
  static char zeros[65536];
  size_t sum = 0;
  ssize_t n;
  while ((n = write(fd, zeros, sizeof zeros)) > 0) sum += (size_t)n;
  return sum;
}

static void empty(int fd) {
  static char bytes[65536];
  while (read(fd, bytes, sizeof bytes) > 0) continue;
}

/* ------------------------------------------------------------ readiness -- */

static void test_ready(void) {
  struct green_thread *t;
  open_pair();
  t = spawn(reads, left);
  CHECK(green_fd_wait(hub, right, GREEN_WRITABLE, GREEN_FOREVER) == 0,
        "an empty socket is writable");
  CHECK(!strcmp(green_status(t), "blocked") &&
            !strcmp(green_waits_for(t), "readable") &&
            green_fd_reader(left) == t,
        "but not readable: its reader waits, and is known");
  put(ends[1], "x");
  CHECK(join(t) == 0, "until the other side writes");
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, 0) == 0 &&
            green_fd_wait(hub, right, GREEN_READABLE, 0) == UV_ETIMEDOUT,
        "a limit of 0 tries once");
  fill(ends[1]);
  t = spawn(writes, right);
  green_sleep(hub, green_now() + MS);
  CHECK(!strcmp(green_status(t), "blocked"), "a full socket is not writable");
  empty(ends[0]);
  CHECK(join(t) == 0, "until the other side reads");
  close_pair();
}

static void test_both(void) {
  struct green_thread *r, *w;
  open_pair();
  fill(ends[0]);
  r = spawn(reads, left);
  w = spawn(writes, left);
  green_sleep(hub, 0);
  put(ends[1], "x");
  CHECK(join(r) == 0 && !strcmp(green_status(w), "blocked"),
        "one thread reads while another writes: each wakes for its own");
  empty(ends[1]);
  CHECK(join(w) == 0, "the writer as well");
  close_pair();
}

static void test_hang_up(void) {
  struct green_thread *r, *w;
  open_pair();
  fill(ends[0]);
  r = spawn(reads, left);
  w = spawn(writes, left);
  green_sleep(hub, 0);
  green_fd_close(hub, right);
  close(ends[1]);
  CHECK(join(r) == 0 && join(w) == 0, "a hang-up wakes both");
  close_end(0, left);
  green_close(hub);
}

static void test_limit(void) {
  uint64_t deadline;
  open_pair();
  deadline = green_now() + 2 * MS;
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, deadline) == UV_ETIMEDOUT &&
            green_now() >= deadline,
        "a wait has a limit");
  put(ends[1], "x");
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, GREEN_FOREVER) == 0,
        "after which one may wait again");
  close_pair();
}

static void test_kill(void) {
  struct green_thread *t;
  open_pair();
  t = spawn(reads, left);
  green_sleep(hub, 0);
  green_kill(hub, t);
  CHECK(join(t) == UV_ECANCELED && !green_fd_reader(left),
        "a thread that is killed while it waits leaves the descriptor free");
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, green_now() + MS) ==
                UV_ETIMEDOUT &&
            hub->external == 0,
        "for others");
  CHECK(green_wait_others(hub, GREEN_FOREVER) == 0, "and all is counted back");
  close_pair();
}

/* --------------------------------------------------------- kept armed -- */

static void test_no_spin(void) {
  struct green_stats before, after;
  struct green_thread *t;
  open_pair();
  t = spawn(reads, left);
  green_sleep(hub, 0);
  put(ends[1], "xyz");
  join(t); /* nobody reads what is there */
  green_sleep(hub, green_now() + MS);
  green_stats(hub, &before);
  green_sleep(hub, green_now() + 50 * MS);
  green_stats(hub, &after);
  CHECK(after.polls - before.polls < 10,
        "a direction that nobody waits for does not spin");
  shutdown(ends[1], SHUT_RDWR);
  green_sleep(hub, green_now() + MS);
  green_stats(hub, &before);
  green_sleep(hub, green_now() + 50 * MS);
  green_stats(hub, &after);
  CHECK(after.polls - before.polls < 10, "nor after a hang-up");
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, GREEN_FOREVER) == 0,
        "and is watched again when somebody waits");
  close_pair();
}

/* Ping-pong, for a program under strace. */
enum { ROUNDS = 500 };

static int pong(struct green_hub *h, void *arg) {
  char c;
  (void)arg;
  for (int i = 0; i < ROUNDS; i++) {
    int r = green_fd_wait(h, right, GREEN_READABLE, GREEN_FOREVER);
    if (r < 0 || read(ends[1], &c, 1) != 1) return 1;
    put(ends[1], "p");
  }
  return 0;
}

static int ping_pong(void) {
  struct green_thread *t;
  char c;
  int bad = 0;
  open_pair();
  t = spawn(pong, NULL);
  for (int i = 0; i < ROUNDS; i++) {
    put(ends[0], "p");
    bad += green_fd_wait(hub, left, GREEN_READABLE, GREEN_FOREVER) < 0;
    bad += read(ends[0], &c, 1) != 1;
  }
  bad += join(t);
  close_pair();
  return bad;
}

/* The number of epoll_ctl calls that strace counts, or -1 if it cannot. */
static long count_epoll_ctl(const char *program) {
  char command[1000], line[1000];
  long count = 0;
  FILE *f;
  snprintf(command, sizeof command,
           "strace -f -e trace=epoll_ctl '%s' ping-pong 2>&1", program);
  f = popen(command, "r");
  if (!f) return -1;
  while (fgets(line, sizeof line, f))
    if (strstr(line, "epoll_ctl(")) count++;
  return pclose(f) == 0 ? count : -1;
}

static void test_kept_armed(const char *program) {
  const char *says = "500 rounds of ping-pong need no epoll_ctl for each wait";
  long count = count_epoll_ctl(program);
  CHECK(ping_pong() == 0, "two threads play ping-pong");
  if (count < 0)
    SKIP(says, "no strace here, or it may not trace");
  else
    CHECK(count < 50, says);
}

/* ------------------------------------------------------- many at one fd -- */

static void test_second_reader(void) {
  struct green_thread *t;
  open_pair();
  t = spawn(reads, left);
  green_sleep(hub, 0);
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, GREEN_FOREVER) == UV_EBUSY &&
            green_fd_reader(left) == t,
        "a second reader gets UV_EBUSY");
  CHECK(green_wait_fd(hub, ends[0], GREEN_READABLE, GREEN_FOREVER) == UV_EBUSY,
        "by number, too");
  put(ends[1], "x");
  CHECK(join(t) == 0, "the first is not disturbed");
  close_pair();
}

static int next_turn;

static int takes_turn(struct green_hub *h, void *arg) {
  int good, r = green_fd_write_begin(h, left, GREEN_FOREVER);
  if (r < 0) return r;
  good = next_turn == (int)(intptr_t)arg;
  green_sleep(h, 0);
  good &= next_turn++ == (int)(intptr_t)arg;
  green_fd_write_end(h, left);
  return good;
}

static void test_turns(void) {
  struct green_thread *t[10], *killed;
  int good = 1;
  open_pair();
  next_turn = 0;
  green_fd_write_begin(hub, left, GREEN_FOREVER);
  CHECK(green_fd_write_begin(hub, left, GREEN_FOREVER) == 0,
        "who has the write side already has it");
  for (intptr_t i = 0; i < 5; i++) t[i] = spawn(takes_turn, (void *)i);
  killed = spawn(takes_turn, (void *)77);
  for (intptr_t i = 5; i < 10; i++) t[i] = spawn(takes_turn, (void *)i);
  green_sleep(hub, 0);
  CHECK(!strcmp(green_waits_for(t[0]), "turn to write"), "writers take turns");
  green_kill(hub, killed);
  join(killed);
  green_fd_write_end(hub, left);
  for (int i = 0; i < 10; i++) good &= join(t[i]) == 1;
  CHECK(good, "first come, first served; one that is killed drops out");
  CHECK(green_fd_write_begin(hub, left, 0) == 0, "the last leaves it free");
  t[0] = spawn(takes_turn, NULL);
  green_sleep(hub, 0);
  CHECK(green_fd_write_begin(hub, left, 0) == 0, "to be taken again");
  green_kill(hub, t[0]);
  join(t[0]);
  close_pair();
}

/* ---------------------------------------------------------------- close -- */

static void test_close(void) {
  struct green_thread *r, *w, *turn;
  struct green_fd *again;
  open_pair();
  fill(ends[0]);
  r = spawn(reads, left);
  w = spawn(writes, left);
  green_fd_write_begin(hub, left, 0);
  turn = spawn(takes_turn, NULL);
  green_sleep(hub, 0);
  CHECK(green_fd_open(hub, ends[0], &again) == 0 && again == left,
        "opening the same number again gives the same green_fd");
  green_fd_close(hub, left);
  close(ends[0]);
  CHECK(!strcmp(green_status(r), "ready"), "close never switches");
  CHECK(join(r) == UV_EBADF && join(w) == UV_EBADF && join(turn) == UV_EBADF,
        "close wakes all waiters with UV_EBADF");
  CHECK(green_fd_wait(hub, again, GREEN_READABLE, GREEN_FOREVER) == UV_EBADF &&
            green_fd_write_begin(hub, again, GREEN_FOREVER) == UV_EBADF,
        "the other opener is refused from now on");
  green_fd_release(hub, again);
  close_end(1, right);
  green_close(hub);
}

static void test_reuse(void) {
  int good = 1;
  open_pair();
  for (int i = 0; i < 50; i++) {
    int number = ends[0], other[2];
    struct green_thread *t = spawn(reads, left);
    char c;
    green_sleep(hub, 0); /* it waits before a slow machine's time is over */
    if (i % 2 == 0) green_sleep(hub, green_now() + MS / 10);
    close_end(0, left);
    close_end(1, right);
    good &= join(t) == UV_EBADF;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, other) != 0) abort();
    memcpy(ends, other, sizeof other);
    good &= ends[0] == number;
    good &= green_fd_open(hub, ends[0], &left) == 0;
    good &= green_fd_open(hub, ends[1], &right) == 0;
    t = spawn(reads, left);
    green_sleep(hub, 0);
    put(ends[1], "x");
    good &= join(t) == 0 && read(ends[0], &c, 1) == 1;
  }
  CHECK(good, "a number that was closed can be used again at once");
  close_pair();
}

static void test_release(void) {
  struct green_fd *again;
  open_pair();
  green_fd_open(hub, ends[0], &again);
  green_fd_release(hub, again);
  put(ends[1], "x");
  CHECK(green_fd_wait(hub, left, GREEN_READABLE, GREEN_FOREVER) == 0,
        "giving up one count leaves the other opener's");
  green_fd_release(hub, left);
  CHECK(green_fd_open(hub, ends[0], &left) == 0 && left != NULL,
        "the last one closes");
  CHECK(green_fd_number(left) == ends[0], "and the number is free");
  close_pair();
}

/* ------------------------------------------------------ anybody's number -- */

static int waits_for_input(struct green_hub *h, void *arg) {
  return green_wait_fd(h, *(int *)arg, GREEN_READABLE, GREEN_FOREVER);
}

static void test_wait_fd(void) {
  int p[2];
  struct green_thread *t;
  if (green_open(&hub, NULL) < 0 || pipe(p) != 0) abort();
  t = spawn(waits_for_input, &p[0]);
  green_sleep(hub, 0);
  CHECK(!(fcntl(p[0], F_GETFL) & O_NONBLOCK),
        "waiting for a blocking descriptor leaves it blocking");
  put(p[1], "x");
  CHECK(join(t) == 0 && !(fcntl(p[0], F_GETFL) & O_NONBLOCK),
        "during the wait and after it");
  fcntl(p[0], F_SETFL, O_NONBLOCK);
  CHECK(green_wait_fd(hub, p[0], GREEN_READABLE, 0) == 0 &&
            fcntl(p[0], F_GETFL) & O_NONBLOCK,
        "a non-blocking one stays so");
  CHECK(hub->fds[p[0]] == NULL, "and is not watched any more");
  close(p[0]);
  CHECK(green_wait_fd(hub, p[0], GREEN_READABLE, GREEN_FOREVER) == UV_EBADF &&
            green_wait_fd(hub, 999999999, GREEN_READABLE, 0) == UV_EBADF &&
            green_wait_fd(hub, -1, GREEN_READABLE, 0) == UV_EBADF,
        "a number that is not open gives UV_EBADF");
  close(p[1]);
  green_close(hub);
}

/* The bug: this waited to write alone, and for ever. */
static void test_events(void) {
  int p[2], wrong[] = {0, GREEN_READABLE | GREEN_WRITABLE, 64}, n = 0, i;
  struct green_fd *f;
  if (green_open(&hub, NULL) < 0 || pipe(p) != 0) abort();
  green_fd_open(hub, p[0], &f);
  for (i = 0; i < 3; i++) {
    uint64_t soon = green_in(1000000);
    n += green_wait_fd(hub, p[0], wrong[i], soon) == UV_EINVAL;
    n += green_wait_fd(hub, p[0], wrong[i], 0) == UV_EINVAL;
    n += green_fd_wait(hub, f, wrong[i], soon) == UV_EINVAL;
    n += green_fd_wait_any(hub, &f, 1, wrong[i], soon) == UV_EINVAL;
  }
  CHECK(n == 12, "a thread waits to read or to write, not for both");
  green_fd_close(hub, f);
  close(p[0]);
  close(p[1]);
  green_close(hub);
}

static void test_file(void) {
  FILE *f = tmpfile();
  if (!f || green_open(&hub, NULL) < 0) abort();
  CHECK(green_wait_fd(hub, fileno(f), GREEN_READABLE, GREEN_FOREVER) == 0 &&
            green_wait_fd(hub, fileno(f), GREEN_WRITABLE, GREEN_FOREVER) == 0,
        "a regular file is always ready");
  fclose(f);
  green_close(hub);
}

static void test_open_at_end(void) {
  struct green_thread *t;
  open_pair();
  t = spawn(reads, left);
  green_detach(hub, t);
  green_sleep(hub, 0);
  CHECK(green_close(hub) == 0,
        "a hub can be closed while descriptors are "
        "open and waited for");
  close(ends[0]);
  close(ends[1]);
}

struct many {
  int ends[4][2];
  struct green_fd *fds[4];
  uint64_t deadline;
};

static void open_many(struct many *m) {
  if (green_open(&hub, NULL) < 0) abort();
  m->deadline = GREEN_FOREVER;
  for (int i = 0; i < 4; i++) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, m->ends[i]) != 0) abort();
    if (green_fd_open(hub, m->ends[i][0], &m->fds[i]) < 0) abort();
  }
}

static void close_many(struct many *m) {
  for (int i = 0; i < 4; i++) {
    if (m->fds[i]) green_fd_close(hub, m->fds[i]);
    close(m->ends[i][0]);
    close(m->ends[i][1]);
  }
  green_close(hub);
}

static int waits_for_any(struct green_hub *h, void *arg) {
  struct many *m = arg;
  return green_fd_wait_any(h, m->fds, 4, GREEN_READABLE, m->deadline);
}

static void test_any(void) {
  struct many m;
  struct green_thread *t;
  int good = 1;
  open_many(&m);
  for (int i = 0; i < 4; i++) {
    t = spawn(waits_for_any, &m);
    green_sleep(hub, 0);
    put(m.ends[i][1], "x");
    good &= join(t) == i && read(m.ends[i][0], &(char){0}, 1) == 1;
  }
  CHECK(good, "of several descriptors the one that is ready is told");
  put(m.ends[2][1], "x");
  CHECK(waits_for_any(hub, &m) == 2 &&
            green_fd_wait_any(hub, m.fds, 4, GREEN_READABLE, 0) == 2,
        "also one that was ready before");
  if (read(m.ends[2][0], &(char){0}, 1) != 1) abort();
  t = spawn(waits_for_any, &m);
  green_sleep(hub, 0);
  CHECK(reads(hub, m.fds[3]) == UV_EBUSY && green_fd_reader(m.fds[0]) == t,
        "it is the only reader of all of them");
  green_kill(hub, t);
  CHECK(join(t) == UV_ECANCELED && !green_fd_reader(m.fds[0]),
        "a kill ends that");
  m.deadline = green_now() + 2 * MS;
  CHECK(waits_for_any(hub, &m) == UV_ETIMEDOUT && green_now() >= m.deadline,
        "so does a limit");
  m.deadline = GREEN_FOREVER;
  t = spawn(waits_for_any, &m);
  green_sleep(hub, 0);
  green_fd_close(hub, m.fds[1]);
  m.fds[1] = NULL;
  CHECK(join(t) == UV_EBADF, "and the close of one");
  CHECK(green_fd_wait_any(hub, m.fds, 0, GREEN_READABLE, 0) == UV_EINVAL &&
            green_fd_wait_any(hub, m.fds, GREEN_MOST_FDS + 1, GREEN_READABLE,
                              0) == UV_EINVAL,
        "none, or too many, are refused");
  CHECK(hub->external == 0, "nothing is left of it");
  close_many(&m);
}

static int child_is_refused(void) {
  struct green_fd *f;
  int bad = green_fd_open(hub, ends[0], &f) != UV_EPERM;
  bad += green_wait_fd(hub, ends[0], GREEN_READABLE, 0) != UV_EPERM;
  green_fd_close(hub, left);
  green_fd_close(hub, right);
  return bad;
}

static void test_fork(void) {
  struct green_thread *t;
  int status;
  pid_t pid;
  open_pair();
  t = spawn(reads, left);
  green_sleep(hub, green_now() + MS); /* libuv has told the kernel */
  fflush(stdout);
  if ((pid = fork()) == 0) _exit(child_is_refused());
  waitpid(pid, &status, 0);
  CHECK(status == 0, "a forked child cannot watch, but it may close");
  put(ends[1], "x");
  CHECK(join(t) == 0, "which its parent does not notice");
  close_pair();
}

int main(int argc, char **argv) {
  if (argc > 1) return ping_pong();
  test_ready();
  test_both();
  test_hang_up();
  test_limit();
  test_kill();
  test_no_spin();
  test_kept_armed(argv[0]);
  test_second_reader();
  test_turns();
  test_close();
  test_reuse();
  test_release();
  test_wait_fd();
  test_events();
  test_file();
  test_open_at_end();
  test_any();
  test_fork();
  return test_end();
}
