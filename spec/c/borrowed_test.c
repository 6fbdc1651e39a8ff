/* borrowed_test.c - descriptors that a program changes behind the hub's back:
 * it costs an error or a wake-up, never the process, and nothing goes to the
 * wrong waiter.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

/* ------------------------------------------------- a kernel that refuses -- */

/* After the next pass_adds registrations refuse_adds fail with the error
 * refuse_with. It stands before libc's function for libuv, too. An existing
 * registration is not a new one. */
static int pass_adds, refuse_adds, refuse_with;

int epoll_ctl(int ep, int op, int fd, struct epoll_event *e) {
  int r = (int)syscall(SYS_epoll_ctl, ep, op, fd, e);
  if (r < 0 || op != EPOLL_CTL_ADD || refuse_adds == 0) return r;
  if (pass_adds-- > 0) return r;
  pass_adds = 0;
  refuse_adds--;
  syscall(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, fd, e);
  errno = refuse_with;
  return -1;
}

/* ------------------------------------------------------------- fixtures -- */

static struct green_hub *hub;

static void open_hub(void) {
  if (green_open(&hub, NULL) < 0) abort();
}

static void open_pair(int p[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) != 0) abort();
}

static void close_pair(int p[2]) {
  close(p[0]);
  close(p[1]);
}

static void put(int fd) {
  if (write(fd, "x", 1) != 1) abort();
}

static int reads(struct green_hub *h, void *fd) {
  return green_wait_fd(h, *(int *)fd, GREEN_READABLE, GREEN_FOREVER);
}

static int writes(struct green_hub *h, void *fd) {
  return green_wait_fd(h, *(int *)fd, GREEN_WRITABLE, GREEN_FOREVER);
}

static int reads_green(struct green_hub *h, void *f) {
  return green_fd_wait(h, f, GREEN_READABLE, GREEN_FOREVER);
}

static struct green_thread *spawn(green_fn fn, void *arg) {
  struct green_thread *t;
  if (green_spawn(hub, &t, fn, arg) < 0) abort();
  return t;
}

/* Its result, or UV_ETIMEDOUT after two seconds. */
static int join(struct green_thread *t) {
  int result = -12345;
  int r = green_join(hub, t, green_now() + UINT64_C(2000) * MS, &result);
  return r < 0 ? r : result;
}

static void nap(int ms) {
  green_sleep(hub, ms ? green_now() + (uint64_t)ms * MS : 0);
}

static uint64_t polls(void) {
  struct green_stats s;
  green_stats(hub, &s);
  return s.polls;
}

/* How often the hub polls while nothing happens. */
static uint64_t polls_of_an_idle_hub(void) {
  uint64_t before;
  nap(1);
  before = polls();
  nap(60);
  return polls() - before;
}

/* ---------------------------------------------------------- closed early -- */

static void test_told(void) {
  int p[2], i, good = 1;
  open_hub();
  for (i = 0; i < 3; i++) { /* before the first poll, after it, after a nap */
    struct green_thread *r, *w;
    open_pair(p);
    while (write(p[0], "xxxxxxxx", 8) > 0) continue;
    r = spawn(reads, &p[0]);
    w = spawn(writes, &p[0]);
    if (i > 0) nap(i - 1);
    close(p[0]);
    good &= join(r) == UV_EBADF && join(w) == UV_EBADF;
    close(p[1]);
  }
  CHECK(good, "who waits for a descriptor that a stranger closes is told");
  CHECK(hub->external == 0 && hub->armed_fds == 0, "and nothing is left");
  green_close(hub);
}

static void test_number_again(void) {
  struct green_thread *old, *new;
  int p[2], q[2], number;
  open_hub();
  open_pair(p);
  number = p[0];
  old = spawn(reads, &number);
  nap(1);
  close_pair(p);
  open_pair(q);
  CHECK(q[0] == number, "the kernel hands a closed number out again");
  put(q[1]);
  CHECK(green_wait_fd(hub, q[0], GREEN_READABLE, GREEN_FOREVER) == 0 &&
            join(old) == UV_EBADF,
        "its new owner's wait is not mistaken for the old one's");
  if (read(q[0], &number, 1) != 1) abort();
  new = spawn(reads, &q[0]);
  nap(1);
  green_fd_forget(hub, q[0]);
  CHECK(join(new) == UV_EBADF,
        "a number that is to be forgotten: all are told");
  close_pair(q);
  green_close(hub);
}

/* dup2() closes the number and opens it again, in one. */
static void test_dup2(void) {
  struct green_thread *t;
  int p[2], q[2];
  open_hub();
  open_pair(p);
  open_pair(q);
  t = spawn(reads, &p[0]);
  nap(1);
  dup2(q[0], p[0]);
  put(q[1]);
  CHECK(join(t) == UV_EBADF,
        "a descriptor that dup2() replaces counts as closed");
  CHECK(green_wait_fd(hub, p[0], GREEN_READABLE, GREEN_FOREVER) == 0,
        "its successor can be waited for");
  close_pair(p);
  close_pair(q);
  green_close(hub);
}

/* ------------------------------------------ the file outlives the number -- */

static void test_duplicate(void) {
  struct green_thread *t;
  int p[2], other, i;
  open_hub();
  open_pair(p);
  other = dup(p[0]);
  t = spawn(reads, &p[0]);
  nap(1);
  close(p[0]);
  put(p[1]);
  i = join(t);
  CHECK(i == 0 || i == UV_EBADF,
        "a duplicate lives on: the waiter is woken, or told");
  CHECK(polls_of_an_idle_hub() < 10,
        "and its events do not keep the hub busy");
  CHECK(green_wait_fd(hub, other, GREEN_READABLE, GREEN_FOREVER) == 0,
        "the duplicate itself can be waited for");
  close(other);
  close(p[1]);
  green_close(hub);
}

static void test_forked(void) {
  struct green_fd *f, *g;
  struct green_thread *t, *u;
  int p[2], q[2], hold[2], i;
  pid_t pid;
  open_hub();
  open_pair(p);
  open_pair(q);
  if (pipe(hold) != 0) abort();
  green_fd_open(hub, p[0], &f);
  green_fd_open(hub, q[0], &g);
  t = spawn(reads_green, f);
  u = spawn(reads_green, g);
  nap(1);
  if ((pid = fork()) == 0) {
    char c;
    close(hold[1]);
    _exit((int)read(hold[0], &c, 1));
  }
  close(p[0]); /* without green_fd_close() */
  put(p[1]);
  i = join(t);
  CHECK(i == 0 || i == UV_EBADF, "the same where a forked child has the file");
  CHECK(polls_of_an_idle_hub() < 10,
        "which does not keep the hub busy either");
  put(q[1]);
  CHECK(join(u) == 0, "and others are still watched");
  close_pair(hold);
  waitpid(pid, NULL, 0);
  green_fd_close(hub, f);
  green_fd_close(hub, g);
  close(p[1]);
  close_pair(q);
  green_close(hub);
}

static void test_duplicates_in_all(void) {
  enum { N = 100 };
  static int p[N][2], other[N];
  struct green_thread *t[N];
  int i, good = 1;
  open_hub();
  for (i = 0; i < N; i++) {
    open_pair(p[i]);
    t[i] = spawn(reads, &p[i][0]);
  }
  nap(1);
  for (i = 0; i < N; i += 2) {
    other[i] = dup(p[i][0]);
    close(p[i][0]);
    put(p[i][1]);
  }
  nap(10);
  for (i = 1; i < N; i += 2) put(p[i][1]);
  for (i = 0; i < N; i++) {
    int r = join(t[i]);
    good &= r == 0 || (i % 2 == 0 && r == UV_EBADF);
  }
  CHECK(good, "half of a hundred are closed so: all others wake by their own");
  CHECK(polls_of_an_idle_hub() < 10, "and the hub is idle then");
  for (i = 0; i < N; i++) {
    close(p[i][1]);
    close(i % 2 ? p[i][0] : other[i]);
  }
  green_close(hub);
}

/* ------------------------------------------------------- other kinds -- */

static void test_kinds(void) {
  int null = open("/dev/null", O_RDWR), directory = open("/", O_RDONLY);
  int event = eventfd(0, EFD_NONBLOCK);
  struct green_thread *t;
  open_hub();
  CHECK(green_wait_fd(hub, null, GREEN_READABLE, GREEN_FOREVER) == 0 &&
            green_wait_fd(hub, null, GREEN_WRITABLE, GREEN_FOREVER) == 0 &&
            green_wait_fd(hub, directory, GREEN_READABLE, GREEN_FOREVER) == 0,
        "what epoll refuses to watch is always ready");
  t = spawn(reads, &event);
  nap(1);
  dup2(null, event);
  CHECK(join(t) == UV_EBADF, "one that becomes a file counts as closed");
  CHECK(green_wait_fd(hub, hub->epoll.fd, GREEN_READABLE, GREEN_FOREVER) < 0,
        "the hub's own epoll cannot be waited for");
  close(null);
  close(event);
  close(directory);
  green_close(hub);
}

/* ---------------------------------------------------- other OS threads -- */

static int victims[2];

static void *closes(void *arg) {
  usleep((useconds_t)(intptr_t)arg);
  close(victims[0]);
  return NULL;
}

static void test_os_thread(void) {
  int i, good = 1;
  open_hub();
  for (i = 0; i < 200; i++) {
    struct green_thread *t;
    pthread_t p;
    int r;
    open_pair(victims);
    pthread_create(&p, NULL, closes, (void *)(intptr_t)(i % 50));
    t = spawn(reads, &victims[0]);
    nap(i % 2);
    pthread_join(p, NULL);
    nap(0);
    r = join(t);
    good &= r == UV_EBADF;
    close(victims[1]);
  }
  CHECK(good, "another OS thread may close them, at any moment");
  green_close(hub);
}

/* ------------------------------------------------------ on a host's loop -- */

static uv_loop_t loop;
static int host_pair[2], host_result;

static int host_reads(struct green_hub *h, void *arg) {
  (void)arg;
  host_result = green_wait_fd(h, host_pair[0], GREEN_READABLE, GREEN_FOREVER);
  return 0;
}

static void host_closes(uv_prepare_t *prepare) {
  close(host_pair[0]);
  uv_close((uv_handle_t *)prepare, NULL);
}

/* A host's callback closes it in the middle of the loop: after the batch that
 * began to wait, before the poll. */
static void test_host(void) {
  struct green_options o = {0};
  uv_prepare_t prepare;
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  if (uv_loop_init(&loop) < 0) abort();
  uv_prepare_init(&loop, &prepare);
  if (green_open(&hub, &o) < 0) abort();
  uv_prepare_start(&prepare, host_closes);
  uv_unref((uv_handle_t *)&prepare);
  open_pair(host_pair);
  host_result = 1;
  green_spawn(hub, NULL, host_reads, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(host_result == UV_EBADF,
        "on a host's loop, too, where nothing else goes on");
  close(host_pair[1]);
  green_close(hub);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&loop) == 0, "and nothing of it stays in the loop");
}

static void host_turns(int n) {
  while (n-- > 0) uv_run(&loop, UV_RUN_NOWAIT);
}

static void test_host_duplicate(void) {
  struct green_options o = {0};
  int other;
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  if (uv_loop_init(&loop) < 0 || green_open(&hub, &o) < 0) abort();
  open_pair(host_pair);
  other = dup(host_pair[0]);
  host_result = 1;
  green_spawn(hub, NULL, host_reads, NULL);
  host_turns(3);
  close(host_pair[0]);
  put(host_pair[1]);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(host_result == 0 || host_result == UV_EBADF,
        "a duplicate lives on, on a host's loop");
  host_turns(10);
  open_pair(host_pair);
  host_result = 1;
  green_spawn(hub, NULL, host_reads, NULL);
  put(host_pair[1]);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(host_result == 0, "the next one is watched as ever");
  close(other);
  close_pair(host_pair);
  green_close(hub);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&loop) == 0, "and nothing stays");
}

/* --------------------------------------------------------- the limits -- */

static void test_refused(int error, const char *sentence) {
  struct green_thread *a, *b;
  int p[2], good;
  open_hub();
  open_pair(p);
  put(p[1]);
  refuse_with = error;
  refuse_adds = 1;
  good = green_wait_fd(hub, p[0], GREEN_READABLE, GREEN_FOREVER) == -error;
  good &= green_wait_fd(hub, p[0], GREEN_READABLE, GREEN_FOREVER) == 0;
  refuse_adds = 1;
  a = spawn(reads, &p[0]);
  b = spawn(writes, &p[0]);
  good &= join(a) == -error && join(b) == 0 && hub->external == 0;
  CHECK(good, sentence);
  close_pair(p);
  green_close(hub);
}

static int other_pair[2], other_result;

static int other_reads(struct green_hub *h, void *arg) {
  (void)arg;
  other_result =
      green_wait_fd(h, other_pair[0], GREEN_READABLE, GREEN_FOREVER);
  return 0;
}

static void turn(void) {
  if (green_main(hub))
    green_sleep(hub, green_now() + MS);
  else if (uv_run(&loop, UV_RUN_NOWAIT))
    usleep(1000);
}

/* A new list is due, because a duplicate lives on, and some of the kernel's
 * calls for that fail. */
static int renews(const struct green_options *o, int pass, int times) {
  int other, i;
  if (green_open(&hub, o) < 0) abort();
  open_pair(host_pair);
  open_pair(other_pair);
  other = dup(host_pair[0]);
  host_result = other_result = 1;
  green_spawn(hub, NULL, host_reads, NULL);
  green_spawn(hub, NULL, other_reads, NULL);
  for (i = 0; i < 3; i++) turn();
  close(host_pair[0]);
  pass_adds = pass;
  refuse_adds = times;
  put(host_pair[1]);
  for (i = 0; i < 100; i++) turn();
  pass_adds = refuse_adds = 0;
  put(other_pair[1]);
  for (i = 0; i < 5000 && other_result == 1; i++) turn();
  close(other);
  close(host_pair[1]);
  close_pair(other_pair);
  green_close(hub);
  return other_result == 0 || other_result == UV_ENOSPC;
}

/* The bug: if the host's loop was refused the new list, it never heard of the
 * hub's descriptors again. */
static void test_refused_renewal(void) {
  struct green_options o = {0};
  int pass, good = 1;
  refuse_with = ENOSPC;
  for (pass = 0; pass < 5; pass++)
    good &= renews(NULL, pass, 1) && renews(NULL, pass, 1000000);
  CHECK(good, "a new list that is refused for a while is made later");
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  if (uv_loop_init(&loop) < 0) abort();
  for (pass = 0; pass < 5; pass++) {
    good &= renews(&o, pass, 1) && renews(&o, pass, 1000000);
    uv_run(&loop, UV_RUN_DEFAULT);
  }
  CHECK(good, "also on a host's loop");
  CHECK(uv_loop_close(&loop) == 0, "and nothing stays");
}

static void test_refused_open(void) {
  struct green_options o = {0};
  int n, refused = 0;
  refuse_with = ENOSPC;
  for (n = 1; n < 10; n++) {
    refuse_adds = n;
    if (green_open(&hub, NULL) == UV_ENOSPC) refused++;
    refuse_adds = 0;
    if (hub) green_close(hub);
  }
  CHECK(refused > 0, "a hub that the kernel does not let watch is not opened");
  if (uv_loop_init(&loop) < 0) abort();
  uv_run(&loop, UV_RUN_NOWAIT);
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &loop;
  for (refused = 0, n = 1; n < 10; n++) {
    refuse_adds = n;
    if (green_open(&hub, &o) == UV_ENOSPC) refused++;
    refuse_adds = 0;
    if (hub) green_close(hub);
    uv_run(&loop, UV_RUN_DEFAULT);
  }
  CHECK(refused > 0 && uv_loop_close(&loop) == 0, "nor on a host's loop");
}

/* libuv aborts if it cannot make a pipe for signals. */
static void test_no_descriptors(void) {
  struct rlimit old, now;
  int left, opened = 0, refused = 0;
  getrlimit(RLIMIT_NOFILE, &old);
  for (left = 0; left < 20; left++) {
    int next = dup(0);
    close(next);
    now = old;
    now.rlim_cur = (rlim_t)(next + left);
    setrlimit(RLIMIT_NOFILE, &now);
    switch (green_open(&hub, NULL)) {
      case 0: opened++; break;
      case UV_EMFILE: refused++; break;
      default: abort();
    }
    setrlimit(RLIMIT_NOFILE, &old);
    if (hub) green_close(hub);
  }
  CHECK(opened > 0 && refused > 0 && opened + refused == 20,
        "with too few descriptors left a hub is refused, or opened");
}

static int alone(void (*test)(void)) {
  int status;
  pid_t pid;
  fflush(stdout);
  if ((pid = fork()) == 0) {
    test();
    fflush(stdout);
    _exit(test_failures != 0);
  }
  waitpid(pid, &status, 0);
  return status == 0;
}

int main(void) {
  alarm(100);
  /* libuv makes its pipe for signals once in a process. */
  CHECK(alone(test_no_descriptors), "in a process that is new");
  test_told();
  test_number_again();
  test_dup2();
  test_duplicate();
  test_forked();
  test_duplicates_in_all();
  test_kinds();
  test_os_thread();
  test_host();
  test_host_duplicate();
  test_refused(ENOSPC, "at the kernel's limit of watches a wait fails, alone");
  test_refused(ENOMEM, "and where the kernel has no memory");
  test_refused_renewal();
  test_refused_open();
  return test_end();
}
