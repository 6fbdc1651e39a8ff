/* versions_test.c - a program and a library of different age, and the small
 * things that a host keeps with hubs and threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "test.h"

static void test_version(void) {
  unsigned n = green_version();
  char text[32];
  snprintf(text, sizeof text, "%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
  CHECK(n == GREEN_VERSION_NUMBER && strcmp(text, GREEN_VERSION) == 0,
        "the version is told as a text and as a number, which agree");
}

/* --- options --- */

enum { FIRST = offsetof(struct green_options, size) + sizeof(size_t) };

/* The bytes that a program has for its options, and no more: a sanitizer sees
 * reads beyond. */
static int open_with(size_t bytes, size_t size, int last) {
  struct green_options *o = calloc(1, bytes);
  struct green_hub *hub;
  int r;
  o->drive = GREEN_DRIVE_STEP;
  o->budget = 7;
  o->size = size;
  if (last) ((char *)o)[bytes - 1] = (char)last;
  r = green_open(&hub, o);
  free(o);
  if (r < 0) return r;
  r = (int)green_config(hub)->budget;
  green_close(hub);
  return r;
}

static void test_options(void) {
  size_t all = sizeof(struct green_options);
  CHECK(open_with(FIRST, 0, 0) == 7,
        "options without a size are those that had none");
  CHECK(open_with(FIRST, FIRST, 0) == 7,
        "a smaller struct, of an older program, is read as far as it goes");
  CHECK(open_with(all, all, 0) == 7, "and so is one of today's");
  CHECK(open_with(all + 64, all + 64, 0) == 7,
        "a larger one, of a newer program, may have fields not set");
  CHECK(open_with(all + 64, all + 64, 1) == UV_EINVAL,
        "and is refused when one is set that the library does not know");
  CHECK(open_with(all, 8, 0) == UV_EINVAL &&
            open_with(all, SIZE_MAX, 0) == UV_EINVAL,
        "a size that cannot be is refused");
}

/* As the library will be when the options have grown by two fields. */
static void test_growth(void) {
  struct {
    uint64_t a, b, c, d;
  } mine, newer = {1, 2, 3, 4};
  struct {
    uint64_t a, b;
  } older = {5, 6}, told = {7, 7};
  size_t all = sizeof mine, few = sizeof older;
  memset(&mine, 0x55, all);
  CHECK(green__take_sized(&mine, all, &older, few, few) == 0 && mine.a == 5 &&
            mine.b == 6 && mine.c == 0 && mine.d == 0,
        "fields that an older program does not know are 0");
  CHECK(green__take_sized(&told, few, &newer, all, few) == UV_EINVAL &&
            told.a == 7,
        "those of a newer one that are set are refused");
  newer.c = newer.d = 0;
  CHECK(green__take_sized(&told, few, &newer, all, few) == 0 && told.b == 2,
        "and passed over when they are not");
}

static void test_old_initializers(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .grace = 1};
  struct green_hub *hub;
  int r;
  r = green_open(&hub, &o);
  CHECK(r == 0 && green_config(hub)->grace == 1 && green_close(hub) == 0,
        "initializers of before are right");
}

/* --- what is filled --- */

static void test_stats(struct green_hub *hub) {
  size_t few = offsetof(struct green_stats, memory);
  struct {
    struct green_stats known;
    uint64_t later;
  } s;
  memset(&s, 0x55, sizeof s);
  CHECK(green_stats_sized(hub, &s.known, few) == 0 && s.known.spawned == 1 &&
            s.known.memory == UINT64_C(0x5555555555555555),
        "statistics fill no more of a struct than an older program has");
  CHECK(green_stats_sized(hub, &s.known, sizeof s) == 0 && s.known.live == 1 &&
            s.later == 0,
        "and say 0 for what this library does not count");
  CHECK(green_stats(hub, &s.known) == 0 && s.known.memory > 0,
        "by the name they always had, they fill today's");
}

static void test_accounts(struct green_hub *hub) {
  size_t few = offsetof(struct green_account, blocked);
  struct green_account a;
  green_accounting(hub, 1);
  do { /* a deadline that has passed when the call comes is no wait */
    green_sleep(hub, green_in(2000000));
    green_account(hub, green_main(hub), &a);
  } while (a.blocked < 1000000);
  memset(&a, 0x55, sizeof a);
  green_account_sized(hub, green_main(hub), &a, few);
  CHECK(a.switches > 0 && a.blocked == UINT64_C(0x5555555555555555),
        "so do the counts of a thread");
  green_account(hub, green_main(hub), &a);
  CHECK(a.blocked >= 1000000, "by the name they always had, too");
  green_accounting(hub, 0);
}

/* --- the host's own --- */

static int child(struct green_hub *hub, void *arg) {
  return green_thread_data(green_current(hub)) == arg;
}

static void test_data(struct green_hub *hub) {
  struct green_thread *t;
  int mine, result = 0;
  CHECK(!green_data(hub) && !green_thread_data(green_main(hub)),
        "a hub and a thread have no data of the host's at first");
  green_set_data(hub, &mine);
  green_spawn(hub, &t, child, &mine);
  CHECK(green_set_thread_data(hub, t, NULL) == 0 && !t->cold,
        "none costs no memory");
  CHECK(green_set_thread_data(hub, t, &mine) == 0 &&
            green_data(hub) == &mine && green_thread_data(t) == &mine,
        "what the host sets is there");
  CHECK(green_join(hub, t, GREEN_FOREVER, &result) == 0 && result,
        "for the thread itself, too");
  green_spawn(hub, &t, child, &mine);
  green__fail_alloc(1);
  CHECK(green_set_thread_data(hub, t, &mine) == UV_ENOMEM,
        "without memory it cannot be set");
  green__fail_alloc(0);
  green_kill(hub, t);
  green_detach(hub, t);
}

/* --- times --- */

static int counts;

static int counter(struct green_hub *hub, void *arg) {
  int i;
  (void)arg;
  for (i = 0; i < 3; i++) counts++, green_yield(hub);
  return 0;
}

static void test_times(struct green_hub *hub) {
  uint64_t before = green_now(), at = green_in(5), past = before - 1;
  struct green_thread *t;
  int fd[2], r;
  CHECK(at >= before + 5 && at <= green_now() + 5 &&
            green_in(GREEN_FOREVER) == GREEN_FOREVER &&
            green_in(GREEN_FOREVER - before) == GREEN_FOREVER,
        "green_in() is a point in time, or never");
  r = pipe(fd);
  green_spawn(hub, &t, counter, NULL);
  CHECK(r == 0 && green_sleep(hub, past) == 0 &&
            green_join(hub, t, past, NULL) == UV_ETIMEDOUT &&
            green_wait_others(hub, past) == UV_ETIMEDOUT &&
            green_wait_fd(hub, fd[0], GREEN_READABLE, past) == UV_ETIMEDOUT &&
            green_wait_fd(hub, fd[1], GREEN_WRITABLE, past) == 0 &&
            counts == 0,
        "a deadline that has passed never lets others run");
  CHECK(green_yield(hub) == 0 && counts == 1 && green_sleep(hub, 0) == 0 &&
            counts == 2,
        "green_yield() does, and a sleep until 0, which is the same");
  green_join(hub, t, GREEN_FOREVER, NULL);
  close(fd[0]);
  close(fd[1]);
}

int main(void) {
  struct green_hub *hub;
  test_version();
  test_options();
  test_growth();
  test_old_initializers();
  green_open(&hub, NULL);
  test_stats(hub);
  test_accounts(hub);
  test_data(hub);
  test_times(hub);
  green_close(hub);
  return test_end();
}
