/* watch.c - a host that counts its threads by hooks, asks for the lag, and
 * writes a trace.
 *
 * Hooks are called at each spawn, switch and end; without them nothing is
 * slower. The trace is JSON for Perfetto: a row for each thread, arrows from
 * the waker to the woken.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green.h>
#include <stdio.h>
#include <string.h>

struct watch {
  int spawned, switches, ended, failed;
  FILE *file;
};

static void on_spawned(struct green_hub *hub, struct green_thread *thread,
                       struct green_thread *parent, void *arg) {
  (void)hub, (void)thread, (void)parent;
  ((struct watch *)arg)->spawned++;
}

static void on_switched(struct green_hub *hub, struct green_thread *from,
                        struct green_thread *to, void *arg) {
  (void)hub, (void)from, (void)to;
  ((struct watch *)arg)->switches++;
}

static void on_ended(struct green_hub *hub, struct green_thread *thread,
                     int status, void *arg) {
  (void)hub, (void)thread;
  ((struct watch *)arg)->ended++;
  ((struct watch *)arg)->failed += status != 0;
}

static void put(void *arg, const char *text, size_t length) {
  fwrite(text, 1, length, ((struct watch *)arg)->file);
}

static int work(struct green_hub *hub, void *arg) {
  struct green_span *span = green_trace_span(hub, "work", NULL);
  int r = green_sleep(hub, green_in(1000000));
  green_trace_span_end(hub, span);
  return arg ? r : UV_EINVAL;
}

int main(void) {
  static const struct green_hooks hooks = {sizeof hooks, on_spawned,
                                           on_switched, on_ended};
  struct watch watch = {0};
  struct green_lag lag;
  struct green_hub *hub;
  int i;
  if (green_open(&hub, NULL) < 0) return 1;
  green_set_hooks(hub, &hooks, &watch);
  green_trace_start(hub, 0);
  for (i = 0; i < 10; i++) green_spawn(hub, NULL, work, i ? hub : NULL);
  green_wait_others(hub, GREEN_FOREVER);
  watch.file = fopen("trace.json", "w");
  printf("trace: %s\n",
         green_trace_stop(hub, put, &watch) ? "none" : "written");
  fclose(watch.file);
  printf("%d spawned, %d ended, %d failed\n", watch.spawned, watch.ended,
         watch.failed);
  green_lag(hub, &lag);
  printf("switches: %s, longest lag: %llu ns\n", watch.switches ? "yes" : "no",
         (unsigned long long)lag.max);
  return green_close(hub);
}

/* prints:
 * trace: written
 * 10 spawned, 10 ended, 1 failed
 * switches: yes, longest lag: ... ns
 */
