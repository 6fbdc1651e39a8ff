/* os_threads.h - for C tests whose OS threads end on their own: those that
 * are still in getaddrinfo(3), or in a job, when a hub closes. A test that
 * waits for them leaves valgrind nothing to report.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_OS_THREADS_H
#define GREEN_OS_THREADS_H

#include <dirent.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>

static inline int os_threads(void) {
  DIR *dir = opendir("/proc/self/task");
  int n = 0;
  if (!dir) return 1;
  while (readdir(dir)) n++;
  closedir(dir);
  return n - 2;
}

static inline void wait_for_os_threads(int most) {
  struct timespec ms = {0, 1000000};
  while (os_threads() > most) nanosleep(&ms, NULL);
}

static inline void *os_thread_of_nothing(void *arg) {
  return arg;
}

/* Call it first. A sanitizer makes a thread of its own beside the first. */
static inline int count_os_threads_before(void) {
  pthread_t first;
  pthread_create(&first, NULL, os_thread_of_nothing, NULL);
  pthread_join(first, NULL);
  return os_threads();
}

#endif
