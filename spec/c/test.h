/* test.h - what a C test needs.
 *
 * Each check prints one line: "ok - " or "not ok - " and the sentence a user
 * may rely on. A runner counts the lines; the exit status is 1 if any failed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_TEST_H
#define GREEN_TEST_H

#include <stdio.h>

static int test_failures;

#define CHECK(cond, sentence) \
  test_check(!!(cond), sentence, __FILE__, __LINE__)
#define SKIP(sentence, why) test_skip(sentence, why)

/* Flushed at once: a child that is forked later must not print it again. */
static inline int test_check(int good, const char *sentence, const char *file,
                             int line) {
  if (good)
    printf("ok - %s\n", sentence);
  else
    printf("not ok - %s (%s:%d)\n", sentence, file, line);
  fflush(stdout);
  test_failures += !good;
  return good;
}

static inline void test_skip(const char *sentence, const char *why) {
  printf("ok - skipped: %s: %s\n", sentence, why);
  fflush(stdout);
}

static inline int test_end(void) {
  return test_failures != 0;
}

#endif
