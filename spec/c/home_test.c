/* home_test.c - a hub belongs to the OS thread that opened it: every function
 * is refused on another one, and in a forked child, and nothing is touched.
 *
 * The bugs: green_kill() killed from anywhere, sleep(0) switched stacks in a
 * forked child, and some functions read what the hub's thread was writing
 * before they looked where they were (ThreadSanitizer saw it).
 *
 * SPDX-License-Identifier: MIT
 */
#include <netdb.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

static struct green_thread *victim;
static struct green_fd *watched;
static int ends[2], done;

static int number(struct green_hub *h, void *arg) {
  (void)h;
  return (int)(intptr_t)arg;
}

static int sleeps(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, green_now() + 60000ull * MS);
}

/* How many of the functions were not refused. */
static int not_refused(struct green_hub *h) {
  static const struct green_wait_kind kind = {"test", NULL, NULL};
  struct green_thread *t;
  struct green_fd *f;
  struct green_post *p;
  struct green_port *port;
  struct green_scope s;
  struct green_timer timer = {0, NULL};
  struct addrinfo *list;
  int results[] = {
      green_spawn(h, &t, number, NULL),
      green_kill(h, victim),
      green_throw(h, victim, UV_EINTR),
      green_join(h, victim, 0, NULL),
      green_join(h, victim, GREEN_FOREVER, NULL),
      green_set_name(h, victim, "somebody"),
      green_sleep(h, 0),
      green_sleep(h, green_now() + MS),
      green_wait_others(h, 0),
      green_wait_fd(h, ends[0], GREEN_READABLE, 0),
      green_wait_fd(h, ends[0], GREEN_READABLE, GREEN_FOREVER),
      green_fd_open(h, ends[0], &f),
      green_fd_wait(h, watched, GREEN_READABLE, 0),
      green_fd_wait(h, watched, GREEN_READABLE, GREEN_FOREVER),
      green_fd_write_begin(h, watched, 0),
      green_getaddrinfo(h, "127.0.0.1", "80", NULL, 0, &list),
      green_post_open(h, &p),
      green_port_open(h, 1, &port),
      green_alert_open(h),
      green_scope_open(h, &s, GREEN_SCOPE_GROUP, GREEN_FOREVER),
      green_timer_start(h, &timer, green_now() + MS),
      green_wait_begin(h, &kind, NULL, NULL, GREEN_FOREVER),
      green_lap_begin(h, &kind),
      green_lap(h, &kind, NULL),
      green_clock_freeze(h, 0),
      green_step(h, 0),
      green_drain(h),
      green_close(h),
  };
  int bad = 0;
  for (size_t i = 0; i < sizeof results / sizeof *results; i++)
    if (results[i] != UV_EPERM) {
      printf("# function %d returned %d\n", (int)i, results[i]);
      bad++;
    }
  bad += green_thread_new(&h->host) != NULL;
  green_detach(h, victim);
  return bad;
}

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0 || pipe(ends) != 0) abort();
  if (green_fd_open(h, ends[0], &watched) < 0) abort();
  if (green_spawn(h, &victim, sleeps, NULL) < 0) abort();
  green_sleep(h, 0);
  return h;
}

static void check_unharmed(struct green_hub *h, const char *sentence) {
  CHECK(green_live(h) == 2 && green_join(h, victim, 0, NULL) == UV_ETIMEDOUT &&
            !strcmp(green_name(victim), "") && !h->posts,
        sentence);
  green_kill(h, victim);
  green_join(h, victim, GREEN_FOREVER, NULL);
  green_fd_release(h, watched);
  CHECK(green_close(h) == 0, "and can be closed at home");
  close(ends[0]);
  close(ends[1]);
}

static void *foreign(void *arg) {
  int bad = not_refused(arg);
  const char *why = green_elsewhere(arg);
  bad += !why || strcmp(why, "on another OS thread than the hub's");
  __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
  return (void *)(intptr_t)bad;
}

static int works(struct green_hub *h, void *arg) {
  (void)arg;
  while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) green_sleep(h, 0);
  return 0;
}

/* The hub is at work meanwhile, so that ThreadSanitizer sees races. */
static void test_foreign(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t;
  pthread_t thread;
  void *bad;
  if (green_spawn(h, &t, works, NULL) < 0) abort();
  if (pthread_create(&thread, NULL, foreign, h) != 0) abort();
  green_join(h, t, GREEN_FOREVER, NULL);
  pthread_join(thread, &bad);
  CHECK(bad == NULL && !green_elsewhere(h),
        "another OS thread is refused everything");
  check_unharmed(h, "the hub has not noticed");
}

static void *opens_own(void *arg) {
  struct green_hub *mine = open_hub(), *h = arg;
  intptr_t bad = green_spawn(h, NULL, number, NULL) != UV_EPERM;
  bad += green_elsewhere(mine) != NULL;
  check_unharmed(mine, "a second OS thread has a hub of its own");
  return (void *)bad;
}

static void test_own(void) {
  struct green_hub *h;
  pthread_t thread;
  void *bad;
  if (green_open(&h, NULL) < 0) abort();
  if (pthread_create(&thread, NULL, opens_own, h) != 0) abort();
  pthread_join(thread, &bad);
  CHECK(bad == NULL, "and is refused the other one all the same");
  green_close(h);
}

static int in_child(struct green_hub *h) {
  const char *why = green_elsewhere(h);
  int bad = not_refused(h);
  bad += !why || strcmp(why, "in a forked child process");
  if (fork() == 0) _exit(green_elsewhere(h) == NULL); /* a grandchild */
  int status;
  wait(&status);
  return bad + (status != 0);
}

static void test_fork(void) {
  struct green_hub *h = open_hub();
  int status;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    int bad = in_child(h);
    fflush(stdout);
    _exit(bad);
  }
  waitpid(pid, &status, 0);
  CHECK(status == 0, "a forked child is refused everything, and told why");
  check_unharmed(h, "its parent has not noticed");
}

int main(void) {
  test_foreign();
  test_own();
  test_fork();
  return test_end();
}
