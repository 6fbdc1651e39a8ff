/* switch.c - ns per switch through the ready queue between C green threads.
 *
 *   switch THREADS
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "green.h"

static int done;

static int spin(struct green_hub *hub, void *arg) {
  (void)arg;
  while (!done) green_sleep(hub, 0);
  return 0;
}

static int timed(struct green_hub *hub, void *arg) {
  int threads = *(int *)arg;
  int rounds = 5000000 / threads + 3;
  for (int i = 0; i < 2; i++) green_sleep(hub, 0);
  clock_t start = clock();
  for (int i = 0; i < rounds; i++) green_sleep(hub, 0);
  done = 1;
  printf("%.1f\n",
         (double)(clock() - start) / CLOCKS_PER_SEC / rounds / threads * 1e9);
  return 0;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 10;
  struct green_thread *first;
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) return 1;
  if (green_spawn(hub, &first, timed, &threads) < 0) return 1;
  for (int i = 1; i < threads; i++)
    if (green_spawn(hub, NULL, spin, NULL) < 0) return 1;
  green_join(hub, first, GREEN_FOREVER, NULL);
  green_wait_others(hub, GREEN_FOREVER);
  return green_close(hub) < 0;
}
