/* timer.c - ns to arm and cancel a timer of the core while others are pending.
 *
 *   timer PENDING
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "green_runtime.h"

#define TIMES 2000000

static void fire(struct green_hub *hub, struct green_timer *timer) {
  (void)hub;
  (void)timer;
}

/* Between one and two hours from now; what AfterFunc does in Go. */
static uint64_t later(void) {
  return green_now() +
         3600u * (1000000000u + (uint64_t)random() % 1000000000u);
}

int main(int argc, char **argv) {
  size_t pending = argc > 1 ? (size_t)atol(argv[1]) : 1000000;
  struct green_timer *timers = calloc(pending + 1, sizeof *timers);
  struct green_timer *timer = timers;
  struct green_hub *hub;
  clock_t start;
  if (!timers || green_open(&hub, NULL) < 0) return 1;
  for (size_t i = 0; i <= pending; i++) timers[i].fire = fire;
  for (size_t i = 1; i <= pending; i++)
    if (green_timer_start(hub, &timers[i], later()) < 0) return 1;
  start = clock();
  for (int i = 0; i < TIMES; i++) {
    green_timer_start(hub, timer, later());
    green_timer_stop(hub, timer);
  }
  printf("%.1f\n", (double)(clock() - start) / CLOCKS_PER_SEC / TIMES * 1e9);
  for (size_t i = 1; i <= pending; i++) green_timer_stop(hub, &timers[i]);
  green_close(hub);
  free(timers);
  return 0;
}
