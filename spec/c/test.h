/* test.h - shared by the C tests.
 *
 * Each check prints one line: "ok - " or "not ok - " and the sentence a user
 * may rely on. A runner counts the lines; the exit status is 1 if any failed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_TEST_H
#define GREEN_TEST_H

#include <stdio.h>

/* The tool that watches the test: valgrind, or a sanitizer, perhaps TSan. */
#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define WITH_TSAN 1
#else
#define WITH_TSAN 0
#endif
#if WITH_TSAN || defined(__SANITIZE_ADDRESS__) || \
    HAS_FEATURE(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

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
