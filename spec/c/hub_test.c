/* hub_test.c - C green threads: their life, the order in which they run, how
 * they are killed, and how a hub ends.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000 };

/* ------------------------------------------------------------- fixtures -- */

static char log_text[4096];

static void note(const char *text) {
  strncat(log_text, text, sizeof log_text - strlen(log_text) - 1);
}

static int logged(const char *text) {
  int same = strcmp(log_text, text) == 0;
  if (!same) printf("# logged: %s\n# wanted: %s\n", log_text, text);
  log_text[0] = '\0';
  return same;
}

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static struct green_hub *open_with(struct green_options o) {
  struct green_hub *h;
  if (green_open(&h, &o) < 0) abort();
  return h;
}

static struct green_thread *spawn(struct green_hub *h, green_fn fn,
                                  void *arg) {
  struct green_thread *t;
  if (green_spawn(h, &t, fn, arg) < 0) abort();
  return t;
}

static int join(struct green_hub *h, struct green_thread *t) {
  int result = -12345, r = green_join(h, t, GREEN_FOREVER, &result);
  return r < 0 ? r : result;
}

static int says(struct green_hub *h, void *arg) {
  (void)h;
  note(arg);
  return 0;
}

static int says_twice(struct green_hub *h, void *arg) {
  note(arg);
  green_sleep(h, 0);
  note(arg);
  return 0;
}

static int sleeps_for_ever(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, GREEN_FOREVER);
}

/* -------------------------------------------------------- order, results -- */

static int spawns(struct green_hub *h, void *arg) {
  note("s");
  green_spawn(h, NULL, says, arg);
  note("S");
  return 0;
}

static void test_order(void) {
  struct green_hub *h = open_hub();
  static char names[5][2] = {"a", "b", "c", "d", "e"};
  for (int i = 0; i < 5; i++) green_spawn(h, NULL, says, names[i]);
  CHECK(logged(""), "spawn never switches");
  green_sleep(h, 0);
  CHECK(logged("abcde"), "threads start in the order of spawning");
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, says_twice, names[i]);
  green_sleep(h, 0);
  note("-");
  green_sleep(h, 0);
  CHECK(logged("abc-abc"), "and take turns, first come first served");
  green_spawn(h, NULL, spawns, names[0]);
  green_spawn(h, NULL, says, names[1]);
  green_sleep(h, 0);
  note("-");
  green_sleep(h, 0);
  CHECK(logged("sSb-a"), "what a thread spawns comes after those before it");
  green_close(h);
}

static int number(struct green_hub *h, void *arg) {
  (void)h;
  return (int)(intptr_t)arg;
}

static int join_in(struct green_hub *h, void *arg) {
  return join(h, arg) + 1;
}

static void test_join(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t = spawn(h, number, (void *)17);
  struct green_thread *u = spawn(h, join_in, t);
  int result = 5;
  CHECK(join(h, u) == 18, "join gives what the function returned");
  t = spawn(h, number, (void *)3);
  green_sleep(h, 0);
  CHECK(green_join(h, t, 0, &result) == 0 && result == 3,
        "of a thread that has ended, without switching");
  t = spawn(h, sleeps_for_ever, NULL);
  CHECK(green_join(h, t, 0, NULL) == UV_ETIMEDOUT &&
            !strcmp(green_status(t), "new"),
        "a limit of 0 does not switch");
  CHECK(green_join(h, t, green_now() + MS, NULL) == UV_ETIMEDOUT &&
            !strcmp(green_status(t), "blocked"),
        "a join has a limit, which does the thread no harm");
  green_kill(h, t);
  CHECK(join(h, t) == UV_ECANCELED, "a thread joined after a time-out");
  CHECK(green_join(h, green_main(h), GREEN_FOREVER, NULL) == UV_EINVAL,
        "a thread cannot join itself");
  t = spawn(h, number, (void *)4);
  green_detach(h, t);
  green_sleep(h, 0);
  CHECK(green_live(h) == 1, "a detached thread ends by itself");
  green_close(h);
}

static int counts_switches(struct green_hub *h, void *arg) {
  struct green_stats *s = arg;
  green_stats(h, s);
  return 0;
}

static void test_direct(void) {
  struct green_hub *h = open_hub();
  struct green_stats before, after;
  struct green_thread *t;
  int tries = 100; /* on a machine that is slow a poll may be due just now */
  for (;;) {
    green_sleep(h, 0);
    green_stats(h, &before);
    t = spawn(h, counts_switches, &after);
    green_sleep(h, 0);
    if (after.polls == before.polls || --tries == 0) break;
    join(h, t);
  }
  CHECK(
      after.switches == before.switches + 1 && after.polls == before.polls,
      "a thread that blocks switches to the next one directly, past no poll");
  CHECK(after.live == 2 && after.spawned == before.spawned + 1 &&
            after.ready == 1 && after.kept == 1,
        "the figures say how many live, are ready, keep their stack");
  join(h, t);
  green_stats(h, &after);
  CHECK(after.live == 1 && after.ready == 0 && after.kept == 0 &&
            after.timers == 0 && after.external == 0 &&
            after.stacks >= after.idle_stacks && after.idle_stacks > 0,
        "and that none is left");
  green_close(h);
}

/* -------------------------------------------------------- kill and throw -- */

static int struck_twice(struct green_hub *h, void *arg) {
  int *codes = arg;
  codes[0] = green_sleep(h, GREEN_FOREVER);
  codes[1] = green_sleep(h, 0);
  codes[2] = green_sleep(h, GREEN_FOREVER);
  return 7;
}

static void test_kill(void) {
  struct green_hub *h = open_hub();
  int codes[3] = {0};
  struct green_thread *t = spawn(h, says, "never");
  CHECK(green_kill(h, t) == 1 && !strcmp(green_status(t), "killed"),
        "a thread killed before it started is killed at once");
  CHECK(join(h, t) == UV_ECANCELED && logged(""),
        "never runs, and its join says so");
  t = spawn(h, struck_twice, codes);
  green_sleep(h, 0);
  CHECK(green_kill(h, t) == 1 && !strcmp(green_status(t), "ready"),
        "a thread killed while it waits is made ready; kill never switches");
  CHECK(join(h, t) == 7 && codes[0] == UV_ECANCELED,
        "its blocking call returns UV_ECANCELED");
  CHECK(codes[1] == UV_ECANCELED && codes[2] == UV_ECANCELED,
        "and so does every later one");
  t = spawn(h, number, NULL);
  green_sleep(h, 0);
  CHECK(green_kill(h, t) == 0, "a thread that has ended cannot be killed");
  join(h, t);
  green_close(h);
}

static int kills_itself(struct green_hub *h, void *arg) {
  (void)arg;
  green_kill(h, green_current(h));
  note("on");
  return green_sleep(h, 0);
}

static int thrown_into(struct green_hub *h, void *arg) {
  int *codes = arg;
  codes[0] = green_sleep(h, GREEN_FOREVER);
  codes[1] = green_sleep(h, 0);
  return 0;
}

static void test_throw(void) {
  struct green_hub *h = open_hub();
  int codes[2] = {0};
  struct green_thread *t = spawn(h, kills_itself, NULL);
  CHECK(join(h, t) == UV_ECANCELED && logged("on"),
        "a thread that kills itself runs on to its next blocking call");
  t = spawn(h, thrown_into, codes);
  green_sleep(h, 0);
  CHECK(green_throw(h, t, UV_EINTR) == 0 &&
            green_throw(h, t, UV_EIO) == UV_EALREADY,
        "a second throw before the first was delivered is refused");
  join(h, t);
  CHECK(codes[0] == UV_EINTR && codes[1] == 0, "a throw strikes once");
  t = spawn(h, thrown_into, codes);
  CHECK(green_throw(h, t, UV_EIO) == 0, "a thread that has not started");
  join(h, t);
  CHECK(codes[0] == UV_EIO, "is struck at its first blocking call");
  t = spawn(h, number, NULL);
  green_sleep(h, 0);
  CHECK(green_throw(h, t, UV_EIO) == UV_ESRCH, "one that has ended: UV_ESRCH");
  join(h, t);
  green_close(h);
}

static int waits_shortly(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, green_now() + MS);
}

static void test_result_wins(void) {
  struct green_hub *h = open_hub();
  struct green_thread *child = spawn(h, number, (void *)9), *t;
  t = spawn(h, join_in, child);
  spawn(h, waits_shortly, NULL);
  green_sleep(h, 0); /* child ended, t is ready */
  green_kill(h, t);
  CHECK(join(h, t) == 10,
        "a wait that was satisfied keeps its result when a kill comes later");
  green_close(h);
}

/* ---------------------------------------------------------------- names -- */

static void count(struct green_thread *t, void *arg) {
  (void)t;
  ++*(int *)arg;
}

static void test_looks(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t = spawn(h, sleeps_for_ever, NULL), *u;
  int n = 0;
  CHECK(!strcmp(green_name(green_main(h)), "main") &&
            green_current(h) == green_main(h),
        "the caller of green_open is the green thread \"main\"");
  CHECK(!strcmp(green_name(t), "") && green_set_name(h, t, "one") == 0 &&
            green_set_name(h, t, "two") == 0 && !strcmp(green_name(t), "two"),
        "a thread can be given a name");
  CHECK(!strcmp(green_status(t), "new") && !green_waits_for(t) &&
            green_stack_used(h, t) == 0,
        "before it has started it is new and has no stack");
  green_sleep(h, 0);
  CHECK(!strcmp(green_status(t), "blocked") &&
            !strcmp(green_waits_for(t), "sleep"),
        "one that waits is blocked, and says in what");
  CHECK(green_stack_used(h, t) > 0 && green_stack_used(h, t) < 512 * 1024,
        "its stack's touched bytes are known");
  u = spawn(h, number, NULL);
  CHECK(green_id(u) > green_id(t) && green_id(t) > green_id(green_main(h)),
        "ids grow and are not used again");
  green_each(h, count, &n);
  CHECK(n == 3 && green_live(h) == 3, "each live thread can be visited");
  green_sleep(h, 0);
  CHECK(!strcmp(green_status(u), "done"), "one that has ended is done");
  join(h, u);
  CHECK(!strcmp(green_strerror(UV_ECANCELED), uv_strerror(UV_ECANCELED)) &&
            strstr(green_strerror(GREEN_EDEADLK), "deadlock"),
        "errors have words");
  green_close(h);
}

static void test_reserve(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t = NULL;
  int i;
  CHECK(green_reserve(&h->host) == 0 && green_reserve(&h->host) == 0,
        "memory for two threads is kept apart");
  green__fail_alloc(1); /* when the slab is used up */
  for (i = 0; i < 100000 && green_spawn(h, &t, number, NULL) == 0; i++)
    green_detach(h, t);
  CHECK(i > 1 && i < 100000, "others run out of memory without taking it");
  green_unreserve(&h->host);
  green__fail_alloc(1);
  CHECK(green_spawn(h, &t, number, NULL) == 0, "what is given back is there");
  CHECK(green_spawn(h, NULL, number, NULL) == UV_ENOMEM, "once");
  green_unreserve(&h->host);
  green__fail_alloc(0);
  join(h, t);
  green_close(h);
}

static int asks_stack(struct green_hub *h, void *arg) {
  size_t *left = arg;
  left[0] = green_stack_left(h);
  return 0;
}

static void test_extra(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t = spawn(h, sleeps_for_ever, NULL);
  void **extra;
  CHECK(!green_extra_value(t), "a thread has no extra pointer");
  green__fail_alloc(1);
  CHECK(!green_extra(h, t), "without memory it gets none");
  extra = green_extra(h, t);
  CHECK(extra && !*extra && !green_extra_value(t), "else one, which is NULL");
  *extra = &h;
  green_set_name(h, t, "t");
  CHECK(green_extra(h, t) == extra && green_extra_value(t) == &h &&
            !green_extra_value(green_main(h)),
        "that stays where it is, and is its alone");
  green_kill(h, t);
  join(h, t);
  t = spawn(h, number, NULL);
  CHECK(!green_extra_value(t), "and is gone with the thread");
  join(h, t);
  green_close(h);
}

static void test_stack_left(void) {
  struct green_hub *h = open_hub();
  size_t left = 0;
  join(h, spawn(h, asks_stack, &left));
  CHECK(left > 400 * 1024, "a thread has its 512 KB of stack before it");
  green_close(h);
}

/* ------------------------------------------------------------- fairness -- */

static int rings;

static int never_waits(struct green_hub *h, void *arg) {
  struct green_fd *f = arg;
  int n = 0;
  while (!rings && green_fd_wait(h, f, GREEN_READABLE, 0) == 0 &&
         green_fd_write_begin(h, f, GREEN_FOREVER) == 0) {
    green_fd_write_end(h, f);
    n++;
  }
  return n;
}

static int rings_bell(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  rings++;
  return 0;
}

static void test_budget(void) {
  struct green_hub *h = open_hub();
  struct green_fd *f;
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) abort();
  green_fd_open(h, ends[0], &f);
  struct green_thread *t = spawn(h, never_waits, f);
  green_spawn(h, NULL, rings_bell, NULL);
  CHECK(join(h, t) >= 64 && rings == 1,
        "a thread that never has to wait goes round when its budget is spent");
  green_fd_close(h, f);
  close(ends[0]);
  close(ends[1]);
  green_close(h);
}

static int stop;

static int laps(struct green_hub *h, void *arg) {
  (void)arg;
  while (!stop) green_sleep(h, 0);
  return 0;
}

static void test_polls(void) {
  struct green_hub *h = open_hub();
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) abort();
  stop = 0;
  green_spawn(h, NULL, laps, NULL);
  green_spawn(h, NULL, laps, NULL);
  CHECK(green_wait_fd(h, ends[0], GREEN_READABLE, GREEN_FOREVER) == 0,
        "descriptors are polled while threads are always ready");
  CHECK(green_sleep(h, green_now() + MS) == 0, "and deadlines are met");
  stop = 1;
  green_wait_others(h, GREEN_FOREVER);
  close(ends[0]);
  close(ends[1]);
  green_close(h);
}

/* ------------------------------------------------- wait_others, deadlock -- */

static void test_wait_others(void) {
  struct green_hub *h = open_hub();
  for (int i = 0; i < 10; i++) green_spawn(h, NULL, waits_shortly, NULL);
  CHECK(green_wait_others(h, 0) == UV_ETIMEDOUT, "others live");
  CHECK(green_wait_others(h, GREEN_FOREVER) == 0 && green_live(h) == 1,
        "wait_others returns when the caller is the only live thread");
  CHECK(green_wait_others(h, 0) == 0, "at once if it is");
  green_close(h);
}

static int deadlocks;

static void on_deadlock(struct green_hub *h) {
  (void)h;
  deadlocks++;
}

static void test_deadlock(void) {
  static const struct green_runtime runtime = {.deadlock = on_deadlock};
  struct green_hub *h = open_hub();
  struct green_thread *t = spawn(h, sleeps_for_ever, NULL);
  CHECK(green_join(h, t, GREEN_FOREVER, NULL) == GREEN_EDEADLK,
        "main learns that nothing can ever wake anybody");
  green_set_runtime(h, &runtime);
  CHECK(green_wait_others(h, GREEN_FOREVER) == GREEN_EDEADLK && deadlocks == 1,
        "each time; a runtime is told before");
  CHECK(green_sleep(h, green_now() + MS) == 0 && deadlocks == 1,
        "a deadline is no deadlock");
  green_set_runtime(h, NULL);
  green_kill(h, t);
  CHECK(join(h, t) == UV_ECANCELED, "and all goes on");
  green_close(h);
}

/* ------------------------------------------------------------- the end -- */

static int cleans_up(struct green_hub *h, void *arg) {
  int r = green_sleep(h, GREEN_FOREVER);
  note(arg);
  return r;
}

static void test_close(void) {
  struct green_hub *h = open_hub();
  for (int i = 0; i < 3; i++) green_spawn(h, NULL, cleans_up, "c");
  green_sleep(h, 0);
  green_spawn(h, NULL, says, "never");
  CHECK(green_close(h) == 0 && logged("ccc"),
        "closing kills those that live, and lets them clean up");
}

static int stubborn(struct green_hub *h, void *arg) {
  (void)arg;
  for (;;) green_sleep(h, GREEN_FOREVER);
  return 0;
}

/* Redirects stderr to a file; returns the text. */
static const char *said_of(int (*f)(void), int *result) {
  static char text[1000];
  int ends[2], err = dup(STDERR_FILENO);
  ssize_t n;
  if (err < 0 || pipe(ends) != 0) abort();
  fflush(stderr);
  dup2(ends[1], STDERR_FILENO);
  *result = f();
  fflush(stderr);
  dup2(err, STDERR_FILENO);
  close(err);
  close(ends[1]);
  n = read(ends[0], text, sizeof text - 1);
  text[n > 0 ? n : 0] = '\0';
  close(ends[0]);
  return text;
}

static int close_stubborn(void) {
  struct green_options o = {0};
  struct green_hub *h;
  struct green_thread *t;
  o.grace = 5 * MS;
  h = open_with(o);
  t = spawn(h, stubborn, NULL);
  green_set_name(h, t, "mule");
  green_detach(h, t);
  green_sleep(h, 0);
  return green_close(h);
}

static int drain_quietly(void) {
  struct green_hub *h = open_hub();
  green_spawn(h, NULL, cleans_up, "");
  green_sleep(h, 0);
  int left = green_drain(h);
  struct green_stats s;
  green_stats(h, &s);
  return left + (s.live != 1) + green_close(h);
}

static void test_abandoned(void) {
  int result;
  const char *text = said_of(close_stubborn, &result);
  CHECK(result == 1 && strstr(text, "mule") && strstr(text, "would not end"),
        "a thread that will not end in twice the grace is reported by name");
  text = said_of(drain_quietly, &result);
  CHECK(result == 0 && !*text, "after a drain a hub can still be looked at");
}

static int closes(struct green_hub *h, void *arg) {
  (void)arg;
  return green_close(h);
}

static int in_child(struct green_hub *h) {
  struct green_hub *own;
  int good = green_spawn(h, NULL, number, NULL) == UV_EPERM &&
             green_sleep(h, 0) == UV_EPERM && green_close(h) == UV_EPERM;
  own = open_hub();
  good &= join(own, spawn(own, number, (void *)8)) == 8;
  return good && green_close(own) == 0;
}

static void test_fork(void) {
  struct green_hub *h = open_hub();
  int status;
  CHECK(join(h, spawn(h, closes, NULL)) == UV_EPERM,
        "a green thread cannot close its hub");
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) _exit(in_child(h) ? 0 : 1);
  waitpid(pid, &status, 0);
  CHECK(status == 0,
        "a forked child is refused its parent's hub, and may open "
        "one of its own");
  CHECK(join(h, spawn(h, number, (void *)8)) == 8, "the parent goes on");
  green_close(h);
}

static void *elsewhere(void *arg) {
  struct green_hub *h = arg;
  long bad = green_spawn(h, NULL, number, NULL) != UV_EPERM;
  bad += green_sleep(h, 0) != UV_EPERM;
  return (void *)bad;
}

static void test_wrong_thread(void) {
  struct green_hub *h = open_hub();
  pthread_t other;
  void *bad;
  pthread_create(&other, NULL, elsewhere, h);
  pthread_join(other, &bad);
  CHECK(!bad, "another OS thread is refused with UV_EPERM");
  green_close(h);
}

static int bad_options(struct green_options o) {
  struct green_hub *h = NULL;
  return green_open(&h, &o) == UV_EINVAL && !h;
}

static void test_options(void) {
  struct green_options o = {0};
  int good;
  o.drive = GREEN_DRIVE_LOOP;
  good = bad_options(o);
  memset(&o, 0, sizeof o);
  o.stack_size = 1000;
  CHECK(good & bad_options(o), "options that make no sense give UV_EINVAL");
  o.stack_size = 128 * 1024;
  o.guard = GREEN_GUARD_CANARY;
  struct green_hub *h = open_with(o);
  CHECK(join(h, spawn(h, number, (void *)8)) == 8 &&
            !strcmp(green_guard_name(h), "canary") && *green_switch_name(),
        "stacks of another size, guarded in another way, work");
  green_close(h);
}

/* ----------------------------------------------------------- very many -- */

static void test_max_stacks(void) {
  struct green_options o = {0};
  struct green_hub *h;
  struct green_stats s;
  int codes[4], r;
  o.max_stacks = 2;
  h = open_with(o);
  struct green_thread *t = spawn(h, struck_twice, codes);
  r = green_join(h, t, green_now() + MS, NULL);
  CHECK(r == UV_ETIMEDOUT,
        "two stacks are enough for main and one that waits");
  /* The first keeps one stack; a second thread runs on the other but cannot
   * keep it, as the next one would have none. */
  struct green_thread *u = spawn(h, waits_shortly, NULL);
  CHECK(join(h, u) == UV_ENOMEM,
        "beyond max_stacks a blocking call returns UV_ENOMEM");
  green_stats(h, &s);
  CHECK(s.stacks == 2 && s.timers == 0 && s.live == 2, "and nothing happened");
  green_set_max_stacks(h, 10);
  CHECK(join(h, spawn(h, waits_shortly, NULL)) == 0,
        "the limit can be raised");
  green_close(h);
}

static const char *why_not_many(void) {
  struct rlimit limit;
  char text[8] = "";
  FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
  if (f) {
    if (!fgets(text, sizeof text, f)) text[0] = '\0';
    fclose(f);
  }
  if (SANITIZED) return "a sanitizer is at work";
  if (text[0] == '2') return "the kernel does not overcommit";
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    return "address space is limited";
  if ((double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) < 2e9)
    return "not enough memory is free";
  return NULL;
}

static int on_stack;

/* Data of its own on its C stack, which must be there afterwards. */
static int keeps(struct green_hub *h, void *arg) {
  volatile int mine[4] = {1, 2, 3, (int)(intptr_t)arg};
  int r = green_sleep(h, GREEN_FOREVER);
  on_stack += mine[0] == 1 && mine[3] == (int)(intptr_t)arg;
  return r;
}

static void keep_many(int many, const char *sentence) {
  struct green_hub *h = open_hub();
  struct green_stats s;
  int spawned = 0;
  on_stack = 0;
  for (intptr_t i = 0; i < many; i++)
    spawned += green_spawn(h, NULL, keeps, (void *)i) == 0;
  green_sleep(h, green_now() + MS);
  green_stats(h, &s);
  CHECK(spawned == many && (int)s.kept == many, sentence);
  CHECK(green_close(h) == 0 && on_stack == many,
        "and each finds its stack as it left it");
}

static void test_many(void) {
  const char *sentence = "100,000 threads keep a C stack each";
  const char *why = why_not_many();
  if (RUNNING_ON_VALGRIND)
    keep_many(200, "200 threads keep a C stack each");
  else if (why)
    SKIP(sentence, why);
  else
    keep_many(100000, sentence);
}

int main(void) {
  test_order();
  test_join();
  test_direct();
  test_kill();
  test_throw();
  test_result_wins();
  test_looks();
  test_extra();
  test_reserve();
  test_stack_left();
  test_budget();
  test_polls();
  test_wait_others();
  test_deadlock();
  test_close();
  test_abandoned();
  test_fork();
  test_wrong_thread();
  test_options();
  test_max_stacks();
  test_many();
  return test_end();
}
