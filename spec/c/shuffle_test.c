/* shuffle_test.c - a ready queue in an order that a seed decides, and figures
 * about each thread: both live in the slow path of a switch.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "../../core/internal.h"
#include "test.h"

#define MS UINT64_C(1000000)

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static char order[64];
static size_t ran;

static int notes(struct green_hub *h, void *arg) {
  (void)h;
  order[ran++] = (char)(intptr_t)arg;
  return 0;
}

static void run_under(uint64_t seed, char *out) {
  struct green_hub *h = open_hub();
  int i;
  green_shuffle(h, seed);
  memset(order, 0, sizeof order);
  ran = 0;
  for (i = 0; i < 26; i++)
    green_spawn(h, NULL, notes, (void *)(intptr_t)('a' + i));
  green_wait_others(h, GREEN_FOREVER);
  memcpy(out, order, sizeof order);
  green_close(h);
}

static int complete(const char *s) {
  char c;
  for (c = 'a'; c <= 'z'; c++)
    if (!strchr(s, c)) return 0;
  return strlen(s) == 26;
}

static void test_seeds(void) {
  static char first[200][64], again[64];
  int i, j, different = 0, all = 1, same = 1;
  for (i = 0; i < 200; i++) {
    run_under((uint64_t)i + 1, first[i]);
    all &= complete(first[i]);
    run_under((uint64_t)i + 1, again);
    same &= !strcmp(first[i], again);
    for (j = 0; j < i && strcmp(first[i], first[j]) != 0; j++)
      ;
    different += j == i;
  }
  CHECK(all, "under each of 200 seeds every thread runs once");
  CHECK(same, "a seed always gives the same order");
  CHECK(different == 200, "200 seeds give 200 orders");
  run_under(0, again);
  CHECK(!strcmp(again, "abcdefghijklmnopqrstuvwxyz"),
        "seed 0 is first come, first served");
}

static void test_fair(void) {
  char out[64];
  int i, first[26] = {0}, least = 1000;
  for (i = 1; i <= 2000; i++) {
    run_under((uint64_t)i, out);
    first[out[0] - 'a']++;
  }
  for (i = 0; i < 16; i++)
    if (first[i] < least) least = first[i];
  CHECK(least > 80, "any of the first 16 is taken about as often");
}

static int laps(struct green_hub *h, void *arg) {
  int i;
  for (i = 0; i < 1000; i++) green_sleep(h, 0);
  *(int *)arg = 1;
  return 0;
}

static void test_polls(void) {
  struct green_hub *h = open_hub();
  struct green_stats s;
  int a = 0, b = 0;
  uint64_t before;
  green_shuffle(h, 7);
  green_stats(h, &s);
  before = s.polls;
  green_clock_freeze(h, 0); /* polls come by number only */
  green_spawn(h, NULL, laps, &a);
  green_spawn(h, NULL, laps, &b);
  green_wait_others(h, GREEN_FOREVER);
  green_stats(h, &s);
  CHECK(a && b && s.polls - before >= 6 && s.polls - before <= 20,
        "a poll is due as often as ever: after 256 switches");
  green_close(h);
}

/* -------------------------------------------------------------- account -- */

static int works(struct green_hub *h, void *arg) {
  uint64_t begin = uv_hrtime();
  (void)arg;
  while (uv_hrtime() - begin < 20 * MS)
    ;
  green_sleep(h, green_now() + 3600 * 1000 * MS);
  green_sleep(h, 0);
  return 0;
}

static void test_account(void) {
  struct green_hub *h = open_hub();
  struct green_account a;
  struct green_thread *t;
  green_clock_freeze(h, 0);
  green_account(h, green_main(h), &a);
  CHECK(a.switches == 0 && a.running == 0, "nothing is counted at first");
  CHECK(!green_accounts(h), "accounting is off by default");
  green_accounting(h, 1);
  green_spawn(h, &t, works, NULL);
  green_sleep(h, 0);
  green_account(h, t, &a);
  CHECK(a.switches == 1 && a.running >= 20 * MS,
        "running is the time that it computed");
  green_join(h, t, GREEN_FOREVER, NULL);
  green_account(h, green_main(h), &a);
  CHECK(a.switches == 2 && a.blocked / MS == 3600 * 1000,
        "blocked is the hub's time that it waited");
  CHECK(a.running < 20 * MS, "others' work is not counted as its own");
  green_accounting(h, 0);
  CHECK(!green_accounts(h), "it can be switched off");
  green_spawn(h, &t, works, NULL);
  green_sleep(h, 0);
  green_account(h, t, &a);
  CHECK(a.switches == 0 && a.running == 0, "then nothing more is counted");
  green_kill(h, t);
  green_join(h, t, GREEN_FOREVER, NULL);
  green_close(h);
}

int main(void) {
  test_seeds();
  test_fair();
  test_polls();
  test_account();
  return test_end();
}
