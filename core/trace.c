/* trace.c - the trace: a ring of the hub's newest events.
 *
 * An event holds numbers only, so that noting one takes 5 ns beside the clock;
 * names are found when the picture is drawn (timeline.c). The name of an ended
 * thread, and the program's marks and spans, would be gone by then, so they
 * have texts of their own. A text is counted, and goes with the last event that
 * refers to it. A span that is open while the ring overwrites its beginning
 * stays in the list of early ones.
 *
 * Noting never fails: without memory for a text, the event has none.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

enum { DEFAULT_EVENTS = 65536, LEAST_EVENTS = 64, MOST_EVENTS = 1 << 26 };
enum { MOST_NAME = 1000, MOST_ARGS = 65536, MOST_STACK = 4096 };

/* --- texts --- */

static struct green__text *text_new(size_t size) {
  struct green__text *text = green__alloc(sizeof *text + size);
  if (text) text->refs = 1;
  return text;
}

static void text_release(struct green__text *text) {
  if (!text || --text->refs) return;
  assert(!text->link);
  green__free(text);
}

static void delist(struct green__text *text) {
  if (!text->link) return;
  *text->link = text->next;
  if (text->next) text->next->link = text->link;
  text->next = NULL;
  text->link = NULL;
}

/* The ring has lost the beginning of a span; it stays as long as it is open. */
static void lost(struct green__trace *trace, struct green__text *text) {
  if (text && text->open && !text->link) {
    text->early = 1;
    text->next = trace->early;
    text->link = &trace->early;
    if (text->next) text->next->link = &text->next;
    trace->early = text;
  }
  text_release(text);
}

static void overwritten(struct green__trace *trace, struct green__event *e) {
  struct green__text *text = (void *)(uintptr_t)e->arg;
  if (e->kind < GREEN__TEXTS) return;
  if (e->kind == GREEN__SPAN)
    lost(trace, text);
  else
    text_release(text);
}

/* --- events --- */

static int is_wanted(const struct green__trace *trace, uint64_t thread) {
  int i;
  if (!trace->only_count || !thread) return 1;
  for (i = 0; i < trace->only_count; i++)
    if (trace->only[i] == thread) return 1;
  return 0;
}

static struct green__event *add(struct green__trace *trace, uint64_t now,
                                enum green__event_kind kind, uint64_t thread,
                                int why) {
  struct green__event *e = &trace->at[trace->count++ & trace->mask];
  if (e->kind >= GREEN__TEXTS) overwritten(trace, e);
  e->ns = now;
  e->thread = (uint32_t)thread;
  e->kind = (uint8_t)kind;
  e->why = (uint8_t)why;
  e->name = 0;
  e->arg = 0;
  return e;
}

void green__trace_put(struct green_hub *h, enum green__event_kind kind,
                      uint64_t thread, int why, uint64_t arg) {
  if (!is_wanted(h->trace, thread)) return;
  add(h->trace, uv_hrtime(), kind, thread, why)->arg = arg;
}

/* 1 + its place in the table; 0: the table is full. */
static uint16_t number_of(struct green__trace *trace,
                          const struct green_wait_kind *kind) {
  uint32_t i = (uint32_t)((uintptr_t)kind >> 4) * 2654435761u >> 24, n;
  for (n = 0; n < 256; n++, i = (i + 1) & 255) {
    if (trace->kinds[i] == kind) return (uint16_t)(i + 1);
    if (trace->kinds[i]) continue;
    trace->kinds[i] = kind;
    return (uint16_t)(i + 1);
  }
  return 0;
}

static void put_stack(struct green_hub *h, struct green_thread *t,
                      uint64_t now) {
  const struct green_teller *teller = h->trace->teller;
  char text[MOST_STACK];
  struct green__text *copy;
  size_t length;
  if (!teller || !teller->stack) return;
  length = teller->stack(h, t, text, sizeof text);
  if (!length || !(copy = text_new(length))) return;
  memcpy(copy->bytes, text, length);
  copy->length = (uint32_t)length;
  add(h->trace, now, GREEN__STACK, t->id, 0)->arg = (uintptr_t)copy;
}

void green__trace_left(struct green_hub *h, struct green_thread *t,
                       uint64_t now) {
  struct green__event *e;
  if (t->state >= GREEN_DONE) h->ending = (uint32_t)t->id;
  if (!is_wanted(h->trace, t->id)) return;
  e = add(h->trace, now, GREEN__LEFT, t->id, t->state);
  if (t->state >= GREEN_DONE) return;
  e->name = number_of(h->trace, t->kind);
  if (t->state != GREEN_BLOCKED) return;
  e->arg = (uintptr_t)t->on;
  put_stack(h, t, now);
}

void green__trace_runs(struct green_hub *h, struct green_thread *t,
                       uint64_t now) {
  if (is_wanted(h->trace, t->id)) add(h->trace, now, GREEN__RUNS, t->id, 0);
}

/* A thread that goes round the queue wakes itself, which is no event. */
void green__trace_ready(struct green_hub *h, struct green_thread *t,
                        uint64_t now) {
  const struct green_thread *waker = h->hot.current;
  struct green__event *e;
  int why = h->source;
  uint64_t arg = (uint64_t)h->source_fd;
  if (waker == t || !is_wanted(h->trace, t->id)) return;
  if (waker || h->ending) {
    why = GREEN__BY_THREAD;
    arg = waker ? waker->id : h->ending;
  }
  e = add(h->trace, now, GREEN__READY, t->id, why);
  e->arg = arg;
  if (t->kind) e->name = number_of(h->trace, t->kind);
}

size_t green__trace_title(struct green_hub *h,
                          const struct green_teller *teller,
                          struct green_thread *t, char *text, size_t size) {
  size_t n = teller && teller->name ? teller->name(h, t, text, size) : 0;
  if (n) return n;
  n = strlen(green_called(t));
  if (n > size) n = size;
  memcpy(text, green_called(t), n);
  return n;
}

/* Its name goes with it. */
void green__trace_ended(struct green_hub *h, struct green_thread *t) {
  struct green__trace *trace = h->trace;
  const char *given = green_name(t);
  char name[256];
  size_t length = strlen(given);
  struct green__text *text;
  if (!is_wanted(trace, t->id)) return;
  if (length > sizeof name) length = sizeof name;
  memcpy(name, given, length);
  if (!length) {
    length = green__trace_title(h, trace->teller, t, name, sizeof name);
    if (h->trace != trace) return; /* a finalizer has stopped it */
  }
  if ((text = text_new(length))) {
    memcpy(text->bytes, name, length);
    text->length = (uint32_t)length;
  }
  add(trace, uv_hrtime(), GREEN__ENDED, t->id, t->state)->arg =
      (uintptr_t)text;
}

void green__trace_polled(struct green_hub *h, int slept) {
  const struct green_teller *teller = h->trace->teller;
  uint64_t memory = teller && teller->memory ? teller->memory(h) : 0;
  memory += green__memory();
  green__trace_put(h, GREEN__POLLED, 0, slept,
                   h->hot.ready | memory / 1024 << 32);
}

/* --- beginning and ending --- */

/* Traces of the process that overlap have one zero. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t running, common_zero;

static uint64_t zero_begin(uint64_t now) {
  uint64_t zero;
  pthread_mutex_lock(&lock);
  if (!running++) common_zero = now;
  zero = common_zero;
  pthread_mutex_unlock(&lock);
  return zero < now ? zero : now; /* another OS thread may have been faster */
}

static void zero_end(void) {
  pthread_mutex_lock(&lock);
  assert(running > 0);
  running--;
  pthread_mutex_unlock(&lock);
}

static void note_threads(struct green_thread *t, void *arg) {
  struct green_hub *h = arg;
  if (t == h->hot.current)
    green__trace_runs(h, t, h->trace->began);
  else if (t->state == GREEN_BLOCKED && is_wanted(h->trace, t->id)) {
    struct green__event *e =
        add(h->trace, h->trace->began, GREEN__LEFT, t->id, GREEN_BLOCKED);
    e->name = number_of(h->trace, t->kind);
    e->arg = (uintptr_t)t->on;
  }
}

static uint32_t rounded(uint32_t events) {
  uint32_t size = LEAST_EVENTS;
  if (!events) events = DEFAULT_EVENTS;
  while (size < events && size < MOST_EVENTS) size *= 2;
  return size;
}

static struct green__trace *trace_new(uint32_t events) {
  struct green__trace *trace = green__alloc(sizeof *trace);
  if (!trace) return NULL;
  if ((trace->at = green__alloc(events * sizeof *trace->at))) {
    trace->mask = events - 1;
    return trace;
  }
  green__free(trace);
  return NULL;
}

int green_trace_begin(struct green_hub *h, uint32_t events,
                      const struct green_teller *teller, const uint64_t *ids,
                      int n) {
  struct green__trace *trace;
  if (!green__at_home(h)) return UV_EPERM;
  if (h->trace) return UV_EBUSY;
  if (!(trace = trace_new(rounded(events)))) return UV_ENOMEM;
  assert(n >= 0 && n <= GREEN_MOST_TRACED);
  trace->began = uv_hrtime();
  trace->zero = zero_begin(trace->began);
  trace->teller = teller;
  trace->only_count = n;
  if (n) memcpy(trace->only, ids, (size_t)n * sizeof *ids);
  h->trace = trace;
  h->ending = 0;
  green__watch(h, GREEN__TRACES, 1);
  /* Threads that never run again are found at the end. */
  if (green_live(h) < trace->mask / 4) green_each(h, note_threads, h);
  return 0;
}

int green_trace_start(struct green_hub *h, uint32_t events) {
  return green_trace_begin(h, events, NULL, NULL, 0);
}

int green_trace_running(struct green_hub *h) {
  return h->trace != NULL;
}

static void free_trace(struct green__trace *trace) {
  uint32_t i;
  for (i = 0; i <= trace->mask; i++)
    if (trace->at[i].kind >= GREEN__TEXTS)
      text_release((void *)(uintptr_t)trace->at[i].arg);
  while (trace->early) delist(trace->early);
  green__free(trace->at);
  green__free(trace);
  zero_end();
}

void green__trace_free(struct green_hub *h) {
  struct green__trace *trace = h->trace;
  if (!trace) return;
  h->trace = NULL;
  green__watch(h, GREEN__TRACES, 0);
  free_trace(trace);
}

int green_trace_stop(struct green_hub *h,
                     void (*put)(void *arg, const char *text, size_t length),
                     void *arg) {
  struct green__trace *trace = h->trace;
  int r = 0;
  if (!green__at_home(h)) return UV_EPERM;
  if (!trace) return UV_ENOENT;
  h->trace = NULL;
  green__watch(h, GREEN__TRACES, 0);
  if (put) r = green__timeline(h, trace, put, arg);
  free_trace(trace);
  return r;
}

/* --- the program's entries --- */

/* "name":"...","args":{...} */
static struct green__text *entry(const char *name, const char *args) {
  size_t n = strlen(name = name ? name : ""), m = args ? strlen(args) : 0,
         size;
  struct green__text *text;
  char *to;
  if (n > MOST_NAME) n = MOST_NAME;
  if (m > MOST_ARGS) m = 0;
  size = green_json(NULL, name, n);
  if (!(text = text_new(size + m + 32))) return NULL;
  to = text->bytes;
  to += sprintf(to, "\"name\":\"");
  to += green_json(to, name, n);
  *to++ = '"';
  if (m) to += sprintf(to, ",\"args\":%s", args);
  text->length = (uint32_t)(to - text->bytes);
  return text;
}

static uint64_t current_id(const struct green_hub *h) {
  return h->hot.current ? h->hot.current->id : 0;
}

/* Takes the text over. */
static void put_entry(struct green_hub *h, enum green__event_kind kind,
                      uint64_t thread, struct green__text *text) {
  if (text && is_wanted(h->trace, thread))
    add(h->trace, uv_hrtime(), kind, thread, 0)->arg = (uintptr_t)text;
  else
    text_release(text);
}

void green_trace_mark_thread(struct green_hub *h, uint64_t id,
                             const char *name, const char *args) {
  if (h->trace && green__at_home(h))
    put_entry(h, GREEN__MARK, id, entry(name, args));
}

void green_trace_mark(struct green_hub *h, const char *name,
                      const char *args) {
  green_trace_mark_thread(h, current_id(h), name, args);
}

/* JSON knows neither nan nor inf, and a locale may have a comma. */
static void put_double(char *to, size_t size, double value) {
  if (value != value || value - value != 0) value = 0;
  snprintf(to, size, "{\"value\":%.15g}", value);
  to = strchr(to, ',');
  if (to) *to = '.';
}

void green_trace_counter(struct green_hub *h, const char *name, double value) {
  char args[64];
  if (!h->trace || !green__at_home(h)) return;
  put_double(args, sizeof args, value);
  put_entry(h, GREEN__COUNTER, 0, entry(name, args));
}

struct green_span *green_trace_span(struct green_hub *h, const char *name,
                                    const char *args) {
  struct green__text *text;
  if (!h->trace || !green__at_home(h)) return NULL;
  if (!(text = entry(name, args))) return NULL;
  text->id = ++h->spans;
  text->thread = (uint32_t)current_id(h);
  text->open = 1;
  text->refs = 2;
  put_entry(h, GREEN__SPAN, text->thread, text);
  return (struct green_span *)text;
}

void green_trace_span_end(struct green_hub *h, struct green_span *span) {
  struct green__text *text = (struct green__text *)span;
  if (!text) return;
  assert(text->open);
  text->open = 0;
  delist(text);
  if (h && h->trace && green__at_home(h))
    put_entry(h, GREEN__SPAN_END, text->thread, text);
  else
    text_release(text);
}
