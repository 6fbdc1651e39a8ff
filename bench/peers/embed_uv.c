/* embed_uv.c - ns for a job of libuv's pool that does nothing.
 *
 *   embed_uv job | jobs     one at a time, 16 at a time
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>
#include <uv.h>

enum { JOBS = 50000, CALLERS = 16 };

static long left = JOBS;

static void work(uv_work_t *job) {
  (void)job;
}

static void after(uv_work_t *job, int status) {
  (void)status;
  if (left-- > 0) uv_queue_work(job->loop, job, work, after);
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_work_t jobs[CALLERS];
  int i, callers = 0;
  uint64_t before = uv_hrtime();
  if (argc > 1 && !strcmp(argv[1], "job")) callers = 1;
  if (argc > 1 && !strcmp(argv[1], "jobs")) callers = CALLERS;
  if (!callers) return puts("-") < 0;
  for (i = 0; i < callers; i++) uv_queue_work(loop, &jobs[i], work, after);
  uv_run(loop, UV_RUN_DEFAULT);
  printf("%.1f\n", (double)(uv_hrtime() - before) / JOBS);
  return 0;
}
