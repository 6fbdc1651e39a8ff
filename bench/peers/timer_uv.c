/* timer_uv.c: timer_uv PENDING - ns to start and stop a uv_timer_t. libuv adds
 * to the loop's cached time: no clock is read here, unlike in ours and Go's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#define TIMES 2000000

static void fire(uv_timer_t *timer) {
  (void)timer;
}

static uint64_t later(void) {
  return 3600000u + (uint64_t)random() % 3600000u;
}

int main(int argc, char **argv) {
  size_t pending = argc > 1 ? (size_t)atol(argv[1]) : 1000000;
  uv_timer_t *timers = calloc(pending + 1, sizeof *timers);
  if (!timers) return 1;
  for (size_t i = 0; i <= pending; i++) {
    uv_timer_init(uv_default_loop(), &timers[i]);
    if (i > 0) uv_timer_start(&timers[i], fire, later(), 0);
  }
  clock_t start = clock();
  for (int i = 0; i < TIMES; i++) {
    uv_timer_start(timers, fire, later(), 0);
    uv_timer_stop(timers);
  }
  printf("%.1f\n", (double)(clock() - start) / CLOCKS_PER_SEC / TIMES * 1e9);
  return 0;
}
