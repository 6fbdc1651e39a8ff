/* stack_test.c - stacks, guards, the pool and the overflow report.
 *
 * Links with stack.c, global.c, memory.c and a switch backend only; the hub
 * is a zeroed struct. Tests that must die do so in a forked child.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../../core/internal.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#if SANITIZED
/* The overflow report is ours to test here, not the sanitizer's. */
__attribute__((visibility("default"))) const char *__asan_default_options(
    void);
const char *__asan_default_options(void) {
  return "handle_segv=0:handle_sigbus=0:handle_abort=0";
}
__attribute__((visibility("default"))) const char *__tsan_default_options(
    void);
const char *__tsan_default_options(void) {
  return "handle_segv=0:handle_sigbus=0:handle_abort=0";
}
#endif

enum { SMALL = 128 * 1024 };

/* ------------------------------------------------------------- fixtures -- */

static struct green_hub hub;
static struct green_thread thread;
static struct green__cold cold;
static char thread_name[] = "digger";
static size_t depth; /* how deep the worker digs */
static int dug;

static int open_hub(enum green_guard guard, size_t size, uint32_t max) {
  struct green_options o = {0};
  o.guard = guard;
  o.stack_size = size;
  o.max_stacks = max;
  memset(&hub, 0, sizeof hub);
  green__global_init();
  hub.os_stack.hub = &hub;
  green__stack_adopt(&hub.os_stack);
  return green__stacks_init(&hub, &o);
}

static void close_hub(void) {
  green__stacks_free(&hub, 0);
}

/* Counts its frames by address, so that they need not be of any size. */
static int dig(const struct green__stack *s) {
  volatile char room[1000];
  int sum;
  for (size_t i = 0; i < sizeof room; i += 50) room[i] = 1;
  if ((size_t)(s->high - (char *)__builtin_frame_address(0)) >= depth)
    return 1;
  sum = dig(s);
  return sum + room[500];
}

static void worker(void *stack) {
  struct green__stack *s = stack;
  for (;;) {
    dug = dig(s);
    green__stack_put(&hub, s);
    green__jump(s, &hub.os_stack, 0);
  }
}

static struct green__stack *take(void) {
  if (green__stacks_reserve(&hub, 0) < 0) return NULL;
  return green__stack_take(&hub, worker);
}

/* Runs a green thread that uses `bytes` of its stack, and ends. */
static struct green__stack *run(size_t bytes) {
  struct green__stack *s = take();
  if (!s) return NULL;
  thread.id = 17;
  thread.cold = &cold;
  cold.name = thread_name;
  s->owner = &thread;
  depth = bytes;
  dug = 0;
  green__jump(&hub.os_stack, s, 0);
  return s;
}

struct death {
  int status;
  char text[4096];
};

/* Runs f in a child; returns how it died, and what it said. */
static struct death die(void (*f)(void)) {
  struct death d;
  size_t length = 0;
  ssize_t n;
  int ends[2];
  pid_t pid;
  if (pipe(ends) != 0 || (pid = fork()) < 0) abort();
  if (pid == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    dup2(ends[1], STDERR_FILENO);
    f();
    _exit(0);
  }
  close(ends[1]);
  while (length < sizeof d.text - 1 &&
         (n = read(ends[0], d.text + length, sizeof d.text - 1 - length)) > 0)
    length += (size_t)n;
  d.text[length] = '\0';
  close(ends[0]);
  waitpid(pid, &d.status, 0);
  return d;
}

static int died_of(const struct death *d, int signal, const char *words) {
  if (WIFSIGNALED(d->status) && WTERMSIG(d->status) == signal &&
      strstr(d->text, words))
    return 1;
  printf("# status %x, said: %s\n", (unsigned)d->status, d->text);
  return 0;
}

static int lines_of_maps(void) {
  FILE *f = fopen("/proc/self/maps", "r");
  int c, lines = 0;
  if (!f) return 0;
  while ((c = getc(f)) != EOF) lines += c == '\n';
  fclose(f);
  return lines;
}

/* --------------------------------------------------------------- guards -- */

static enum green_guard mode;

static void overflow(void) {
  if (open_hub(mode, SMALL, 0) < 0 || green_report_overflow() < 0) return;
  run((size_t)1 << 40);
}

static void overflow_a_bit(void) {
  if (open_hub(mode, SMALL, 0) < 0) return;
  run(SMALL + 20000);
}

static void overflow_and_return(void) {
  struct green__stack *s;
  if (open_hub(mode, SMALL, 0) < 0) return;
  s = run(4000);
  s->canary[3] ^= 1;
  run(4000);
}

static const char line[] =
    "luagreen: stack overflow in green thread #17 \"digger\" (128 KB)";

static void test_mode(enum green_guard guard, const char *name) {
  char says[200];
  struct green__stack *s;
  mode = guard;
  if (open_hub(guard, 512 * 1024, 0) == UV_ENOTSUP) {
    snprintf(says, sizeof says, "stacks guarded by %s work", name);
    SKIP(says, "not on this kernel");
    return;
  }
  s = run(400 * 1024);
  snprintf(says, sizeof says, "%s: 400 KB of a 512 KB stack can be used",
           name);
  CHECK(s && dug > 1, says);
  CHECK(s && run(1000) == s, "the stack used last is used next");
  CHECK(s && (s->canary != NULL) == (guard == GREEN_GUARD_CANARY),
        "and is guarded as asked for");
  close_hub();
  if (guard == GREEN_GUARD_CANARY || RUNNING_ON_VALGRIND) return;
  struct death d = die(overflow);
  snprintf(says, sizeof says,
           "%s: an overflow is a SIGSEGV that names the "
           "green thread",
           name);
  CHECK(died_of(&d, SIGSEGV, line), says);
  CHECK(strchr(d.text, '\n') == strrchr(d.text, '\n'), "in one line");
}

static void test_canary(void) {
  struct death d;
  if (RUNNING_ON_VALGRIND) return;
  mode = GREEN_GUARD_CANARY;
  d = die(overflow_a_bit);
  CHECK(died_of(&d, SIGABRT, line),
        "canary: an overflow aborts at the next switch and names the thread");
  d = die(overflow_and_return);
  CHECK(died_of(&d, SIGABRT, line), "canary: a single changed word is enough");
}

static void test_forced(void) {
  setenv("LUAGREEN_GUARD", "canary", 1);
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  CHECK(hub.stacks.guard == GREEN_GUARD_CANARY,
        "LUAGREEN_GUARD=canary is "
        "obeyed");
  setenv("LUAGREEN_GUARD", "mprotect", 1);
  open_hub(GREEN_GUARD_CANARY, SMALL, 0);
  CHECK(hub.stacks.guard == GREEN_GUARD_MPROTECT,
        "LUAGREEN_GUARD=mprotect is obeyed");
  setenv("LUAGREEN_GUARD", "madvise", 1);
  int r = open_hub(GREEN_GUARD_CANARY, SMALL, 0);
  CHECK(r == UV_ENOTSUP || hub.stacks.guard == GREEN_GUARD_MADVISE,
        "LUAGREEN_GUARD=madvise is obeyed or refused with UV_ENOTSUP");
  unsetenv("LUAGREEN_GUARD");
  r = open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  CHECK(r == 0 && hub.stacks.guard != GREEN_GUARD_AUTO,
        "without it a guard is chosen");
}

static void test_budget(void) {
  struct green__stack *s, *t;
  int taken = 0;
  open_hub(GREEN_GUARD_MPROTECT, SMALL, 0);
  s = take();
  while (green__global_guard_budget(1)) taken++;
  for (int i = 0; i < 7; i++) take();
  t = take();
  CHECK(s && t && !s->canary && t->canary,
        "when the budget of mprotect guards is spent, later stacks get a "
        "canary");
  close_hub();
  CHECK(green__global_guard_budget(8), "freed stacks give their guards back");
  green__global_guard_budget(-8);
  green__global_guard_budget(-taken);
}

/* ----------------------------------------------------------------- pool -- */

static void test_trim(void) {
  struct green__stack *s, *hot;
  size_t before, after;
  open_hub(GREEN_GUARD_AUTO, 512 * 1024, 0);
  hot = take();
  s = run(300 * 1024);
  green__stack_put(&hub, hot);
  before = green__stack_touched(s);
  CHECK(before >= 300 * 1024, "the bytes that a thread has touched are known");
  CHECK(green__stacks_surplus(&hub, 1) && !green__stacks_surplus(&hub, 2),
        "it is known whether a trim would give anything back");
  green__stacks_trim(&hub, 1, UINT32_MAX);
  after = green__stack_touched(s);
  CHECK(after <= 2 * (size_t)sysconf(_SC_PAGESIZE),
        "a trim gives the memory of idle stacks back");
  CHECK(s->fresh && !hot->fresh && !green__stacks_surplus(&hub, 1),
        "but not that of the hottest");
  take();
  CHECK(run(300 * 1024) == s && dug > 1, "a trimmed stack works again");
  close_hub();
}

static void test_trim_canary(void) {
  struct green__stack *s;
  open_hub(GREEN_GUARD_CANARY, SMALL, 0);
  s = run(10000);
  green__stacks_trim(&hub, 0, UINT32_MAX);
  CHECK(run(10000) == s && run(10000) == s,
        "a trimmed stack has its canary again");
  close_hub();
}

static void test_many_trims(void) {
  int good = 0;
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  for (int i = 0; i < 100; i++) {
    run(20000);
    good += dug > 1;
    green__stacks_trim(&hub, 0, UINT32_MAX);
  }
  CHECK(good == 100, "a stack can be trimmed again and again");
  close_hub();
}

/* After a burst: 200 stacks in slabs of 8 and 64, one of them in use. */
static void test_slabs_go(void) {
  struct green__stack *s[200], *last;
  int steps = 0, before;
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  before = lines_of_maps();
  for (int i = 0; i < 200; i++) s[i] = take();
  last = s[199];
  for (int i = 0; i < 199; i++) green__stack_put(&hub, s[i]);
  CHECK(hub.stacks.whole == 3 && green__stacks_surplus(&hub, 16),
        "slabs of which all stacks are idle are known");
  while (green__stacks_trim(&hub, 16, 64)) steps++;
  CHECK(steps > 1 && hub.stacks.total < 16 + 64 + 64 &&
            hub.stacks.idle_count == hub.stacks.total - 1 &&
            !green__global_find(s[100]) && green__global_find(last),
        "and given back step by step, but not below one that is used");
  CHECK(lines_of_maps() <= before + 3 * 64, "their mappings are gone");
  for (int i = 0; i < 199; i++) s[i] = take();
  CHECK(hub.stacks.idle_count == 0 && hub.stacks.total == 200,
        "the pool grows again");
  for (int i = 0; i < 199; i++) green__stack_put(&hub, s[i]);
  green__stack_put(&hub, last);
  CHECK(run(10000) == last && dug > 1, "with stacks that work");
  green__stacks_trim(&hub, 0, UINT32_MAX);
  CHECK(hub.stacks.total < 64 && !green__stacks_surplus(&hub, 0),
        "when all are idle, less than a slab stays");
  close_hub();
}

static void test_spares(void) {
  open_hub(GREEN_GUARD_AUTO, SMALL, 2);
  struct green__stack *s = NULL;
  if (green__stacks_spares(&hub) < 0) abort();
  CHECK(hub.stacks.total == 0 && hub.stacks.idle_count == 0,
        "spares do not count");
  take(), take();
  CHECK(green__stacks_reserve(&hub, 0) == UV_ENOMEM, "nor go to everybody");
  CHECK(green__stacks_reserve(&hub, 1) == 0, "clean-up goes beyond the limit");
  green__stack_take(&hub, worker);
  green__fail_allocs(1, LONG_MAX);
  for (int i = 0; i < 20 && green__stacks_reserve(&hub, 1) == 0; i++)
    s = green__stack_take(&hub, worker);
  CHECK(s && hub.stacks.spares == 0 && hub.stacks.total >= 3 + 4,
        "and has the spares when there is no memory for others");
  green__fail_allocs(1, 0);
  green__stack_put(&hub, s);
  CHECK(hub.stacks.spares == 0, "the pool is not emptied for them");
  s = (green__stacks_reserve(&hub, 1), green__stack_take(&hub, worker));
  if (green__stacks_reserve(&hub, 1) < 0) abort();
  green__stack_put(&hub, s);
  CHECK(hub.stacks.spares == 1, "but fills them up when there are others");
  close_hub();
}

static void test_places(void) {
  struct green__stack *s[20];
  int apart = 1, roomy = 1;
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  for (int i = 0; i < 20; i++) s[i] = take();
  for (int i = 0; i < 20; i++) {
    roomy &= s[i]->high - s[i]->low >= SMALL;
    if (i > 0)
      apart &=
          ((uintptr_t)s[i]->high ^ (uintptr_t)s[i - 1]->high) % 4096 >= 64;
  }
  CHECK(apart, "the tops of neighbouring stacks lie in different cache sets");
  CHECK(roomy, "a stack has at least the bytes that were asked for");
  close_hub();
}

static void test_limits(void) {
  int good = 0;
  open_hub(GREEN_GUARD_AUTO, SMALL, 10);
  for (int i = 0; i < 10; i++) good += take() != NULL;
  CHECK(good == 10 && green__stacks_reserve(&hub, 0) == UV_ENOMEM,
        "beyond max_stacks there is UV_ENOMEM");
  CHECK(hub.stacks.total == 10, "and nothing happened");
  close_hub();
}

static void test_no_memory(void) {
  int before, tries = 0, r;
  open_hub(GREEN_GUARD_AUTO, SMALL, 1);
  take();
  close_hub();
  open_hub(GREEN_GUARD_AUTO, SMALL, 1);
  before = lines_of_maps();
  do {
    green__fail_alloc(++tries);
    r = green__stacks_reserve(&hub, 0);
    if (r < 0 && (r != UV_ENOMEM || hub.stacks.total != 0)) break;
  } while (r < 0 && tries < 10);
  green__fail_alloc(0);
  CHECK(r == 0 && tries > 1,
        "when memory fails there is UV_ENOMEM, and once "
        "there is some the same call works");
  close_hub();
  CHECK(lines_of_maps() <= before, "and nothing stays mapped");
  green__fail_alloc(1);
  CHECK(!green__stack_single(&hub, SMALL, worker), "a single stack as well");
}

static void test_free(void) {
  struct green__stack *s;
  struct green__slab *slab, *next;
  char *low;
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  s = take();
  low = s->low;
  slab = green__global_find(low);
  CHECK(slab && green__global_find(low - 1) == slab,
        "the slab of an address is found, and of a guard too");
  CHECK(!green__global_find(&hub), "but none for other addresses");
  close_hub();
  CHECK(!green__global_find(low), "freed stacks are not found any more");
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  s = run(1000);
  next = green__global_find(s);
  CHECK(next == slab, "the record of a freed slab is used again");
  green__stacks_free(&hub, 1);
  CHECK(green__global_find(s) == next && s->low[0] == 0 && !next->hub,
        "stacks that must be kept stay mapped");
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  run(1000);
  CHECK(hub.stacks.slabs != next, "and so does their record");
  close_hub();
}

static int single_ran;

static void single(void *stack) {
  struct green__stack *s = stack;
  single_ran++;
  depth = 60000;
  dug = dig(s);
  green__jump(s, &s->hub->os_stack, 0);
  single_ran++;
  green__jump(s, &s->hub->os_stack, 0);
}

static void test_single(void) {
  struct green__stack *s;
  int before = lines_of_maps();
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  s = green__stack_single(&hub, 65536, single);
  green__jump(&hub.os_stack, s, 0);
  green__jump(&hub.os_stack, s, 0);
  CHECK(single_ran == 2 && dug > 1 && hub.stacks.total == 0,
        "the hub has a stack of its own, outside the pool");
  green__stack_single_free(s);
  CHECK(SANITIZED || lines_of_maps() <= before, "and gives it back whole");
  close_hub();
}

static void test_switches(void) {
  enum { MANY = 20000 };
  static struct green__stack *s[50];
  int good = 0;
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  for (int i = 0; i < 50; i++) s[i] = take();
  for (int i = 0; i < 50; i++) green__stack_put(&hub, s[i]);
  for (int i = 0; i < MANY; i++) {
    run(2000);
    good += dug > 1;
  }
  CHECK(good == MANY, "20,000 runs on pooled stacks");
  CHECK(hub.stacks.total == 50 && hub.stacks.idle_count == 50,
        "need no more stacks than there are");
  close_hub();
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
  if (RUNNING_ON_VALGRIND) return "valgrind is at work";
  if (text[0] == '2') return "the kernel does not overcommit";
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    return "address space is limited";
  if ((double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) < 2e9)
    return "not enough memory is free";
  return NULL;
}

static void test_very_many(void) {
  const char *says = "70,000 stacks are in use at once";
  const char *why = why_not_many();
  int i;
  if (why) {
    SKIP(says, why);
    return;
  }
  open_hub(GREEN_GUARD_AUTO, SMALL, 0);
  for (i = 0; i < 70000 && take(); i++) continue;
  CHECK(i == 70000, says);
  close_hub();
}

/* -------------------------------------------------------------- process -- */

static void forked(void) {
  if (green__global_forked() > 0) abort();
}

static void not_ours(int signal) {
  (void)signal;
}

static void taken(void) {
  signal(SIGSEGV, not_ours);
  if (green_report_overflow() == UV_EBUSY) abort();
}

static void plain_fault(void) {
  volatile char *nowhere = (char *)4096;
  if (green_report_overflow() < 0) return;
  if (green_report_overflow() < 0) return; /* twice is fine */
  *nowhere = 1;
}

static void sent_fault(void) {
  if (green_report_overflow() < 0) return;
  kill(getpid(), SIGSEGV);
}

static void test_process(void) {
  struct death d = die(forked);
  CHECK(green__global_forked() == 0 && died_of(&d, SIGABRT, ""),
        "a forked child knows that it is one");
  if (RUNNING_ON_VALGRIND) return;
  d = die(taken);
  CHECK(died_of(&d, SIGABRT, ""), "a host's SIGSEGV handler is left alone");
  d = die(sent_fault);
  CHECK(died_of(&d, SIGSEGV, "") && !strstr(d.text, "luagreen"),
        "a SIGSEGV sent by kill still kills");
  if (SANITIZED) return; /* UBSan speaks of it first */
  d = die(plain_fault);
  CHECK(died_of(&d, SIGSEGV, "") && !strstr(d.text, "luagreen"),
        "any other fault stays what it was");
}

int main(void) {
  test_mode(GREEN_GUARD_MADVISE, "madvise");
  test_mode(GREEN_GUARD_MPROTECT, "mprotect");
  test_mode(GREEN_GUARD_CANARY, "canary");
  test_canary();
  test_forced();
  test_budget();
  test_trim();
  test_trim_canary();
  test_many_trims();
  test_slabs_go();
  test_spares();
  test_places();
  test_limits();
  test_no_memory();
  test_free();
  test_single();
  test_switches();
  test_very_many();
  test_process();
  return test_end();
}
