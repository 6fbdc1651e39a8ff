/* idle_test.c - an idle process makes no wake-ups: while all threads wait for
 * a descriptor, the kernel does not switch to it at all.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

static int pipe_fd[2], ready_fd[2];

static int waits(struct green_hub *h, void *arg) {
  (void)arg;
  return green_wait_fd(h, pipe_fd[0], GREEN_READABLE, GREEN_FOREVER);
}

static int sleeps(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, green_now() + UINT64_C(3600000000000));
}

static int for_ever(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, GREEN_FOREVER);
}

static void spawn_all(struct green_hub *h) {
  green_spawn(h, NULL, waits, NULL);
  for (int i = 0; i < 10; i++) green_spawn(h, NULL, sleeps, NULL);
  for (int i = 0; i < 10; i++) green_spawn(h, NULL, for_ever, NULL);
}

static void say_ready(void) {
  if (write(ready_fd[1], "r", 1) != 1) _exit(1);
}

static void on_own_loop(void) {
  struct green_hub *h;
  struct green_post *p;
  if (green_open(&h, NULL) < 0 || green_post_open(h, &p) < 0) _exit(1);
  spawn_all(h);
  green_sleep(h, 0);
  say_ready();
  green_wait_others(h, GREEN_FOREVER);
}

static void on_idle_once(uv_timer_t *timer) {
  uv_close((uv_handle_t *)timer, NULL);
  say_ready();
}

static void on_host_loop(void) {
  struct green_options o = {0};
  struct green_hub *h;
  uv_timer_t timer;
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = uv_default_loop();
  if (green_open(&h, &o) < 0) _exit(1);
  spawn_all(h);
  uv_timer_init(o.loop, &timer);
  uv_timer_start(&timer, on_idle_once, 1, 0);
  uv_run(o.loop, UV_RUN_DEFAULT);
}

/* How often the process has gone to sleep, and whether it sleeps now. */
static long switches(pid_t pid, char *state) {
  char path[64], line[200];
  long n = -1;
  FILE *f;
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  if (!(f = fopen(path, "r"))) return -1;
  while (fgets(line, sizeof line, f)) {
    sscanf(line, "State: %c", state);
    sscanf(line, "voluntary_ctxt_switches: %ld", &n);
  }
  fclose(f);
  return n;
}

static void pause_ms(long ms) {
  struct timespec time = {0, ms * 1000000};
  nanosleep(&time, NULL);
}

/* Asleep, and with the same count as 100 ms ago. */
static long wait_until_asleep(pid_t pid) {
  char state = 0;
  long before, n = switches(pid, &state);
  do {
    before = n;
    pause_ms(100);
    n = switches(pid, &state);
  } while (n >= 0 && (state != 'S' || n != before));
  return n;
}

static void test_idle(void (*program)(void), const char *sentence) {
  char c, state = 0;
  long before;
  pid_t pid;
  if (pipe(pipe_fd) != 0 || pipe(ready_fd) != 0) abort();
  fflush(stdout);
  if ((pid = fork()) == 0) {
    program();
    _exit(0);
  }
  if (read(ready_fd[0], &c, 1) != 1) abort();
  before = wait_until_asleep(pid);
  if (before < 0) {
    SKIP(sentence, "no /proc here");
  } else {
    pause_ms(300);
    CHECK(switches(pid, &state) == before && state == 'S', sentence);
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  for (int i = 0; i < 2; i++) close(pipe_fd[i]), close(ready_fd[i]);
}

int main(void) {
  test_idle(on_own_loop, "an idle process makes no wake-ups");
  test_idle(on_host_loop, "nor does an idle hub on a host's loop");
  return test_end();
}
