/* watch_hubs_test.c - hubs in several OS threads of one process that are
 * traced at the same time. Also run under ThreadSanitizer.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "green.h"
#include "test.h"

/* libuv closes descriptors by syscall(2), which the sanitizer does not see: it
 * takes the next use of a number for a race with the last one. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
  return "race:epoll_create1\nrace:pipe2\nrace:eventfd\n";
}

enum { HUBS = 4, THREADS = 10, LAPS = 20, LIVES = 3, MS = 1000000 };

struct text {
  char *bytes;
  size_t length;
};
struct host {
  pthread_t thread;
  struct text text;
  unsigned long long process, first; /* of the picture; first: microseconds */
  int bad;
};

static struct host hosts[HUBS];
static pthread_barrier_t barrier;

static void put(void *arg, const char *bytes, size_t length) {
  struct text *t = arg;
  t->bytes = realloc(t->bytes, t->length + length + 1);
  if (!t->bytes) abort();
  memcpy(t->bytes + t->length, bytes, length);
  t->length += length;
  t->bytes[t->length] = '\0';
}

static int laps(struct green_hub *hub, void *arg) {
  int i;
  (void)arg;
  for (i = 0; i < LAPS; i++) {
    struct green_span *span = green_trace_span(hub, "lap", "{\"n\":1}");
    green_sleep(hub, i % 4 ? 0 : green_now() + MS / 10);
    green_trace_counter(hub, "laps", i);
    green_trace_span_end(hub, span);
  }
  return 0;
}

static int job(struct green_job *job, void *arg) {
  (void)job;
  (void)arg;
  return 0;
}

static void run_threads(struct host *self, struct green_hub *hub) {
  int i;
  for (i = 0; i < THREADS; i++)
    self->bad += green_spawn(hub, NULL, laps, NULL) < 0;
  self->bad += green_offload(hub, job, NULL, NULL, GREEN_FOREVER, NULL) < 0;
  self->bad += green_wait_others(hub, GREEN_FOREVER) < 0;
}

/* All traces overlap. */
static void *live(void *arg) {
  struct host *self = arg;
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) abort();
  self->bad += green_trace_start(hub, 0) < 0;
  pthread_barrier_wait(&barrier);
  run_threads(self, hub);
  pthread_barrier_wait(&barrier);
  self->bad += green_trace_stop(hub, put, &self->text) < 0;
  self->bad += green_close(hub) != 0;
  return NULL;
}

static unsigned long long number(const char *text, const char *name) {
  const char *found = strstr(text, name);
  return found ? strtoull(found + strlen(name), NULL, 10) : 0;
}

static int count(const char *text, const char *part) {
  int n = 0;
  while ((text = strstr(text, part))) {
    n++;
    text++;
  }
  return n;
}

/* Numbers of arrows that begin with another OS thread's. */
static int strange_arrows(const struct host *host) {
  const char *at = host->text.bytes;
  int strange = 0;
  while ((at = strstr(at, "\"cat\":\"wake\""))) {
    strange += number(at, "\"id\":") >> 30 != host->process;
    at++;
  }
  return strange;
}

static void look(struct host *host) {
  const char *text = host->text.bytes;
  host->process = number(text, "\"pid\":");
  host->first = number(text, "\"ts\":");
  CHECK(!host->bad && host->process > 0, "each hub was traced by itself");
  CHECK(count(text, "\"name\":\"lap\"") >= THREADS * LAPS,
        "its picture has its own threads, and all their spans");
  CHECK(count(text, "\"thread_name\"") == THREADS + 2, "and only those");
  CHECK(count(text, "\"name\":\"job\"") == 2, "and its job");
  CHECK(strange_arrows(host) == 0, "arrows have numbers of its own");
}

static void trace_all(void) {
  int i, j, same = 0;
  for (i = 0; i < HUBS; i++) {
    memset(&hosts[i], 0, sizeof hosts[i]);
    pthread_create(&hosts[i].thread, NULL, live, &hosts[i]);
  }
  for (i = 0; i < HUBS; i++) pthread_join(hosts[i].thread, NULL);
  for (i = 0; i < HUBS; i++) look(&hosts[i]);
  for (i = 0; i < HUBS; i++)
    for (j = 0; j < i; j++) same += hosts[i].process == hosts[j].process;
  CHECK(same == 0, "pictures of hubs are of different processes");
  for (i = 0; i < HUBS; i++) free(hosts[i].text.bytes);
}

/* The second begins 20 ms after the first, in its picture, too. */
static void *late(void *arg) {
  struct host *self = arg;
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) abort();
  self->bad += green_trace_start(hub, 0) < 0;
  run_threads(self, hub);
  self->bad += green_trace_stop(hub, put, &self->text) < 0;
  green_close(hub);
  return NULL;
}

static void one_time(void) {
  struct green_hub *hub;
  struct host *host = &hosts[0];
  memset(host, 0, sizeof *host);
  green_open(&hub, NULL);
  green_trace_start(hub, 0);
  green_sleep(hub, green_now() + 20 * MS);
  pthread_create(&host->thread, NULL, late, host);
  pthread_join(host->thread, NULL);
  look(host);
  CHECK(host->first >= 20000, "traces that overlap have one zero");
  free(host->text.bytes);
  memset(&host->text, 0, sizeof host->text);
  green_trace_stop(hub, put, &host->text);
  CHECK(number(host->text.bytes, "\"ts\":") < 20000, "of the first one");
  free(host->text.bytes);
  green_close(hub);
}

int main(void) {
  int life;
  pthread_barrier_init(&barrier, NULL, HUBS);
  for (life = 0; life < LIVES; life++) trace_all();
  one_time();
  pthread_barrier_destroy(&barrier);
  return test_end();
}
