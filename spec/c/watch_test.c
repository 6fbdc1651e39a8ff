/* watch_test.c - hooks for hosts, the lag, and traces of C programs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "green.h"
#include "internal.h"
#include "test.h"

enum { MS = 1000000 };

/* --- hooks --- */

struct seen {
  int spawned, ended, failed, killed, to_thread, to_hub, chains;
  struct green_thread *parent, *last;
};

static void on_spawned(struct green_hub *hub, struct green_thread *thread,
                       struct green_thread *parent, void *arg) {
  struct seen *seen = arg;
  (void)hub;
  seen->spawned += green_id(thread) > 0;
  seen->parent = parent;
}

static void on_switched(struct green_hub *hub, struct green_thread *from,
                        struct green_thread *to, void *arg) {
  struct seen *seen = arg;
  (void)hub;
  if (to)
    seen->to_thread++;
  else
    seen->to_hub++;
  /* Each switch leaves the thread to which the former one led. */
  seen->chains += from == NULL || from == seen->last;
  seen->last = to;
}

static void on_ended(struct green_hub *hub, struct green_thread *thread,
                     int status, void *arg) {
  struct seen *seen = arg;
  (void)hub;
  (void)thread;
  seen->ended++;
  if (status == 7) seen->failed++;
  if (status == UV_ECANCELED) seen->killed++;
}

static int returns_7(struct green_hub *hub, void *arg) {
  (void)arg;
  green_sleep(hub, 0);
  return 7;
}

static void hooks(struct green_hub *hub) {
  struct seen seen;
  struct green_hooks hooks = {sizeof hooks, on_spawned, on_switched, on_ended};
  struct green_thread *t, *killed;
  int result = 0;
  memset(&seen, 0, sizeof seen);
  seen.last = green_current(hub);
  CHECK(green_set_hooks(hub, &hooks, &seen) == 0, "a host may set hooks");
  green_spawn(hub, &t, returns_7, NULL);
  CHECK(seen.spawned == 1 && seen.parent == green_main(hub),
        "a hook is told of each thread and of its parent");
  green_spawn(hub, &killed, returns_7, NULL);
  green_kill(hub, killed);
  CHECK(seen.killed == 1, "and of those that are killed before they start");
  green_join(hub, t, GREEN_FOREVER, &result);
  green_join(hub, killed, GREEN_FOREVER, NULL);
  green_sleep(hub, green_now() + MS);
  CHECK(seen.ended == 2 && seen.failed == 1, "of ends, with the result");
  CHECK(seen.to_thread >= 3 && seen.to_hub >= 1,
        "of switches, to threads and to the hub");
  CHECK(seen.chains == seen.to_thread + seen.to_hub,
        "each switch is told with the thread that was left");
  CHECK(green_set_hooks(hub, NULL, NULL) == 0, "no hooks any more");
  seen.spawned = seen.to_thread = 0;
  green_spawn(hub, NULL, returns_7, NULL);
  green_sleep(hub, 0);
  green_sleep(hub, 0);
  CHECK(!seen.spawned && !seen.to_thread, "nothing is told then");
  hooks.size = 3;
  CHECK(green_set_hooks(hub, &hooks, NULL) == UV_EINVAL,
        "hooks of an unknown size are refused");
}

/* --- the lag --- */

static int computes(struct green_hub *hub, void *arg) {
  int i;
  (void)arg;
  for (i = 0; i < 30; i++) {
    uint64_t end = uv_hrtime() + 2 * MS;
    while (uv_hrtime() < end) continue;
    green_sleep(hub, 0);
  }
  return 0;
}

static int ends(struct green_hub *hub, void *arg) {
  (void)hub;
  (void)arg;
  return 0;
}

/* Each spawn makes a thread ready. */
static int spawns(struct green_hub *hub, void *arg) {
  int i, n = *(int *)arg;
  for (i = 0; i < n; i++) {
    green_spawn(hub, NULL, ends, NULL);
    green_sleep(hub, 0);
  }
  return 0;
}

/* The present stretch began long ago. */
static void pass(struct green_hub *hub, uint64_t seconds) {
  hub->lag.began -= seconds * 1000 * MS;
}

static void lag(struct green_hub *hub) {
  struct green_lag lag;
  struct green_stats stats;
  struct green_thread *hog, *spawner;
  int often = 1000, seldom = 30, i;
  pass(hub, 20);
  green_spawn(hub, &spawner, spawns, &often);
  green_join(hub, spawner, GREEN_FOREVER, NULL);
  green_lag(hub, &lag);
  CHECK(lag.recent >= 10 && lag.p50 > 0 && lag.p50 <= lag.p99 &&
            lag.p99 <= lag.max,
        "the lag is timed now and then");
  CHECK(lag.p50 < MS, "it is short while nobody computes");
  green_spawn(hub, &hog, computes, NULL);
  for (i = 0; i < 20; i++) green_spawn(hub, NULL, spawns, &seldom);
  green_join(hub, hog, GREEN_FOREVER, NULL);
  green_stats(hub, &stats);
  CHECK(stats.most_ready >= 15, "the stats tell of a long ready queue");
  green_lag(hub, &lag);
  CHECK(lag.max >= 1 * MS, "it is long while a thread computes");
  CHECK(lag.count >= lag.recent && lag.sum >= lag.max, "all are summed up");
  CHECK(green_lag_below(hub, 63) == lag.count &&
            green_lag_below(hub, 20) < lag.count,
        "and counted by their size");
  green_wait_others(hub, GREEN_FOREVER);
}

/* No reader forgets what another one wants to know. */
static void many_readers(struct green_hub *hub) {
  struct green_lag lag, again;
  struct green_stats stats;
  int often = 1000, i;
  pass(hub, 20);
  for (i = 0; i < 20; i++) green_spawn(hub, NULL, spawns, &often);
  green_wait_others(hub, GREEN_FOREVER);
  green_lag(hub, &lag);
  green_lag(hub, &again);
  CHECK(lag.recent > 0 && again.recent == lag.recent && again.max == lag.max,
        "each reader of the lag is told the same");
  pass(hub, 10);
  green_lag(hub, &again);
  green_stats(hub, &stats);
  CHECK(again.recent == lag.recent && again.p99 == lag.p99 &&
            stats.most_ready >= 15,
        "so is one that asks each ten seconds");
  pass(hub, 10);
  green_lag(hub, &again);
  green_stats(hub, &stats);
  CHECK(again.recent == 0 && again.max == 0 && again.count == lag.count &&
            stats.most_ready < 15,
        "what was longer ago is not recent");
}

/* A ready thread that is ended leaves its place to nobody: the sample is not
 * the time that the hub then sleeps. */
static void ended_while_timed(struct green_hub *hub) {
  struct green_lag lag;
  int i;
  pass(hub, 20);
  for (i = 0; i < 200; i++) {
    struct green_thread *t;
    green_spawn(hub, &t, returns_7, NULL);
    green_kill(hub, t);
    green_join(hub, t, 0, NULL);
    green_sleep(hub, green_now() + MS / 2);
  }
  green_lag(hub, &lag);
  CHECK(lag.p50 < MS / 2, "a thread that is killed while ready has no lag");
}

/* --- traces --- */

struct text {
  char *bytes;
  size_t length;
};

static void put(void *arg, const char *bytes, size_t length) {
  struct text *t = arg;
  t->bytes = realloc(t->bytes, t->length + length + 1);
  memcpy(t->bytes + t->length, bytes, length);
  t->length += length;
  t->bytes[t->length] = '\0';
}

static int has(const struct text *t, const char *part) {
  return strstr(t->bytes, part) != NULL;
}

static int spans(struct green_hub *hub, void *arg) {
  struct green_span *span = green_trace_span(hub, "a \"span\"", "{\"n\":1}");
  (void)arg;
  green_sleep(hub, green_now() + MS);
  green_trace_mark(hub, "moment", NULL);
  green_trace_counter(hub, "level", 0.5);
  green_trace_span_end(hub, span);
  return 0;
}

static void traces(struct green_hub *hub) {
  struct green_thread *t;
  struct text text = {NULL, 0};
  CHECK(green_trace_stop(hub, put, &text) == UV_ENOENT, "there is no trace");
  green_trace_span_end(hub, green_trace_span(hub, "none", NULL));
  CHECK(green_trace_start(hub, 0) == 0, "a C program may begin a trace");
  CHECK(green_trace_start(hub, 0) == UV_EBUSY, "one at a time");
  green_spawn(hub, &t, spans, NULL);
  green_set_name(hub, t, "worker");
  green_join(hub, t, GREEN_FOREVER, NULL);
  CHECK(green_trace_stop(hub, put, &text) == 0, "and ends it");
  CHECK(has(&text, "a \\\"span\\\"\",\"args\":{\"n\":1}"), "spans are in it");
  CHECK(has(&text, "\"moment\"") && has(&text, "{\"value\":0.5}"),
        "marks and counters");
  CHECK(has(&text, " worker\""), "and names");
  CHECK(has(&text, "\"woken by\":\"a timer\""), "and wakers");
  free(text.bytes);
}

static int sleeps(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_sleep(hub, GREEN_FOREVER);
}

static void without_names(struct green_hub *hub) {
  struct green_thread *ended, *live;
  struct text text = {NULL, 0};
  char name[2][80];
  green_trace_start(hub, 0);
  green_spawn(hub, &ended, ends, NULL);
  green_spawn(hub, &live, sleeps, NULL);
  snprintf(name[0], 80, "\"#%llu a C thread\"",
           (unsigned long long)green_id(ended));
  snprintf(name[1], 80, "\"#%llu a C thread\"",
           (unsigned long long)green_id(live));
  green_join(hub, ended, GREEN_FOREVER, NULL);
  green_sleep(hub, 0);
  green_trace_stop(hub, put, &text);
  CHECK(has(&text, name[0]) && has(&text, name[1]),
        "threads without a name are called threads of C");
  green_kill(hub, live);
  green_join(hub, live, GREEN_FOREVER, NULL);
  free(text.bytes);
}

/* In a container the process is number 1, and so is main. Viewers take the
 * hub's row, which has the process's number, and that thread's for one then.
 * Elsewhere so many threads are made first; where that takes too long, or
 * there were more before, none. */
static void number_of_the_process(struct green_hub *hub) {
  uint64_t number = (uint64_t)syscall(SYS_gettid), id = 0;
  struct green_thread *t;
  struct text text = {NULL, 0};
  char row[80];
  if (number > 40000) return;
  while (id + 1 < number) {
    green_spawn(hub, &t, ends, NULL);
    id = green_id(t);
    green_join(hub, t, GREEN_FOREVER, NULL);
  }
  if (id + 1 != number) return;
  green_trace_start(hub, 0);
  green_spawn(hub, &t, ends, NULL);
  green_set_name(hub, t, "the same");
  green_join(hub, t, GREEN_FOREVER, NULL);
  green_trace_stop(hub, put, &text);
  snprintf(row, sizeof row, "\"tid\":%llu,\"args\":{\"name\":\"hub\"}",
           (unsigned long long)number);
  CHECK(has(&text, "the same") && has(&text, "\"name\":\"hub\"") &&
            !has(&text, row),
        "the hub's row is never that of a thread");
  free(text.bytes);
}

/* Everything that a picture needs may fail. */
static void short_of_memory(struct green_hub *hub) {
  struct green_thread *t;
  int n, r, refused = 0;
  for (n = 1; n < 30; n++) {
    struct text text = {NULL, 0};
    green__fail_alloc(n);
    r = green_trace_start(hub, 64);
    if (r == 0) {
      if (green_spawn(hub, &t, spans, NULL) == 0)
        green_join(hub, t, GREEN_FOREVER, NULL);
      r = green_trace_stop(hub, put, &text);
    }
    green__fail_alloc(0);
    refused += r == UV_ENOMEM;
    free(text.bytes);
  }
  CHECK(refused >= 2, "a trace without memory is refused or dropped");
  CHECK(!green_trace_running(hub), "and is over");
}

static void on_idle(uv_idle_t *idle) {
  uv_close((uv_handle_t *)idle, NULL);
}

static void on_a_hosts_loop(void) {
  struct green_options options;
  struct green_hub *hub;
  struct text text = {NULL, 0};
  uv_loop_t loop;
  uv_idle_t idle;
  memset(&options, 0, sizeof options);
  uv_loop_init(&loop);
  options.drive = GREEN_DRIVE_LOOP;
  options.loop = &loop;
  green_open(&hub, &options);
  uv_idle_init(&loop, &idle);
  uv_idle_start(&idle, on_idle);
  green_trace_start(hub, 0);
  green_spawn(hub, NULL, spans, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(
      green_trace_stop(hub, put, &text) == 0 && has(&text, "\"cat\":\"hub\""),
      "a trace on a host's loop shows when the host had its turn");
  green_trace_start(hub, 0);
  green_close(hub);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&loop) == 0, "a hub may be closed while it is traced");
  free(text.bytes);
}

int main(void) {
  struct green_hub *hub;
  green_open(&hub, NULL);
  hooks(hub);
  lag(hub);
  many_readers(hub);
  ended_while_timed(hub);
  traces(hub);
  without_names(hub);
  number_of_the_process(hub);
  short_of_memory(hub);
  green_trace_start(hub, 0);
  green_close(hub);
  on_a_hosts_loop();
  return test_end();
}
