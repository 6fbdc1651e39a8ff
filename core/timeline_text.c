/* timeline_text.c - a picture of a trace as Trace Event JSON.
 *
 * Items are written one a line, in the order of time. Names come from the
 * program, so all are escaped. Traces that overlap count time from the same
 * moment, and the process is the hub's OS thread, so that the pictures of
 * several hubs can be put together. The number of an arrow begins with that of
 * the OS thread, too.
 *
 * Viewers place an arrow's ends by time alone. Perfetto gives rows without a
 * number that of the process, so the hub has a number of its own.
 *
 * Nothing here runs the program. Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "timeline.h"

/* --- pieces of text --- */

static void flush(struct green__drawing *d) {
  if (d->length) d->put(d->arg, d->text, d->length);
  d->length = 0;
}

static void put_bytes(struct green__drawing *d, const char *bytes, size_t n) {
  if (d->length + n > sizeof d->text) flush(d);
  if (n > sizeof d->text) {
    d->put(d->arg, bytes, n);
    return;
  }
  memcpy(d->text + d->length, bytes, n);
  d->length += n;
}

#define PUT(d, literal) put_bytes(d, literal, sizeof(literal) - 1)

static void put_string(struct green__drawing *d, const char *text) {
  put_bytes(d, text, strlen(text));
}

static void put_number(struct green__drawing *d, uint64_t n) {
  char digits[20], *p = digits + sizeof digits;
  do *--p = (char)('0' + n % 10);
  while (n /= 10);
  put_bytes(d, p, (size_t)(digits + sizeof digits - p));
}

/* Microseconds with three decimals. */
static void put_time(struct green__drawing *d, uint64_t ns) {
  char decimals[4] = {'.', (char)('0' + ns / 100 % 10),
                      (char)('0' + ns / 10 % 10), (char)('0' + ns % 10)};
  put_number(d, ns / 1000);
  put_bytes(d, decimals, 4);
}

static void put_pointer(struct green__drawing *d, uint64_t p) {
  static const char hex[] = "0123456789abcdef";
  char digits[16], *to = digits + sizeof digits;
  do *--to = hex[p & 15];
  while (p >>= 4);
  PUT(d, "0x");
  put_bytes(d, to, (size_t)(digits + sizeof digits - to));
}

static void put_escaped(struct green__drawing *d, const char *text,
                        size_t length) {
  size_t size = green_json(NULL, text, length);
  if (size > sizeof d->text) return; /* texts are short */
  if (d->length + size > sizeof d->text) flush(d);
  d->length += green_json(d->text + d->length, text, length);
}

/* --- items --- */

/* "#17 fetch", of one whose name is known. */
static void put_name(struct green__drawing *d, const struct green__track *t) {
  char name[256];
  if (!t->id) {
    PUT(d, "hub");
    return;
  }
  PUT(d, "#");
  put_number(d, t->id);
  PUT(d, " ");
  if (t->name) {
    put_escaped(d, t->name->bytes, t->name->length);
  } else if (t->live) {
    size_t length = strlen(green_name(t->live));
    if (length)
      put_escaped(d, green_name(t->live), length);
    else
      put_escaped(d, name,
                  green__trace_title(d->hub, d->trace->teller, t->live, name,
                                     sizeof name));
  }
}

static void put_thread(struct green__drawing *d, uint32_t id) {
  uint32_t number = d->index[green__track_place(d, id)];
  if (number) {
    put_name(d, &d->tracks[number - 1]);
    return;
  }
  PUT(d, "#");
  put_number(d, id);
}

static void put_row(struct green__drawing *d, const struct green__item *item) {
  PUT(d, ",\"pid\":");
  put_number(d, d->process);
  PUT(d, ",\"tid\":");
  put_number(d, d->tracks[item->track].row);
  PUT(d, ",\"ts\":");
  put_time(d, item->ts - d->trace->zero);
}

static const char *kind_name(const struct green__drawing *d,
                             const struct green__item *item) {
  const struct green_thread *live = d->tracks[item->track].live;
  if (item->name == UINT16_MAX) return live->kind->name;
  if (!item->name) return NULL;
  return d->trace->kinds[item->name - 1]->name;
}

/* A tenth of a nanosecond is missing, because viewers add in floating point: a
 * slice that ended after the next one's beginning would be drawn around it. */
static void put_slice(struct green__drawing *d, const struct green__item *item,
                      const char *category) {
  PUT(d, "\",\"cat\":\"");
  put_string(d, category);
  PUT(d, "\",\"ph\":\"X\"");
  put_row(d, item);
  PUT(d, ",\"dur\":");
  put_time(d, item->arg - 1);
  PUT(d, "9");
}

/* The one that woke a thread: "#3 store", "fd 7". */
static void put_waker(struct green__drawing *d,
                      const struct green__item *item) {
  static const char *const names[] = {
      "the host or libuv", "a timer", "fd ", "libuv", "a post", "a signal"};
  int source = item->why - 1;
  PUT(d, "\"woken by\":\"");
  if (source == GREEN__BY_THREAD)
    put_thread(d, (uint32_t)item->on);
  else
    put_string(d, names[source]);
  if (source == GREEN__BY_FD) put_number(d, item->on);
  PUT(d, "\"");
}

/* How the thread ended; GREEN_DONE goes without saying. */
static const char *ending(const struct green__item *item) {
  return item->name == GREEN_FAILED   ? "failed"
         : item->name == GREEN_KILLED ? "killed"
                                      : NULL;
}

static void put_run(struct green__drawing *d, const struct green__item *item) {
  const char *end = ending(item);
  PUT(d, "{\"name\":\"run");
  put_slice(d, item, "run");
  if (item->why || end) PUT(d, ",\"args\":{");
  if (item->why) put_waker(d, item);
  if (item->why && end) PUT(d, ",");
  if (end) PUT(d, "\"ended\":\"");
  if (end) put_string(d, end);
  if (end) PUT(d, "\"");
  if (item->why || end) PUT(d, "}");
  PUT(d, "}");
}

static void put_wait(struct green__drawing *d,
                     const struct green__item *item) {
  const char *name = kind_name(d, item);
  PUT(d, "{\"name\":\"");
  put_string(d, name ? name : "blocked");
  if (item->on) {
    PUT(d, " ");
    put_pointer(d, item->on);
  }
  put_slice(d, item, "blocked");
  if (item->text) {
    PUT(d, ",\"args\":{\"stack\":\"");
    put_escaped(d, item->text->bytes, item->text->length);
    PUT(d, "\"}");
  }
  PUT(d, "}");
}

static void put_poll(struct green__drawing *d,
                     const struct green__item *item) {
  PUT(d, "{\"name\":\"");
  put_string(d, item->why ? "sleep" : "poll");
  put_slice(d, item, "hub");
  PUT(d, "}");
}

/* A slice for which the thread cannot do anything. */
static void put_queued(struct green__drawing *d,
                       const struct green__item *item) {
  const char *name = item->kind == ITEM_READY ? kind_name(d, item) : NULL;
  PUT(d, "{\"name\":\"");
  put_string(d, item->kind == ITEM_NEW ? "not started" : "ready");
  if (name) {
    PUT(d, " after ");
    put_string(d, name);
  }
  put_slice(d, item, "ready");
  if (item->kind == ITEM_NEW && item->on) {
    PUT(d, ",\"args\":{\"spawned by\":\"");
    put_thread(d, (uint32_t)item->on);
    PUT(d, "\"}");
  }
  PUT(d, "}");
}

static void put_flow(struct green__drawing *d,
                     const struct green__item *item) {
  PUT(d, "{\"name\":\"wake\",\"cat\":\"wake\",\"ph\":\"");
  if (item->kind == ITEM_FLOW)
    PUT(d, "s\"");
  else
    PUT(d, "f\",\"bp\":\"e\"");
  PUT(d, ",\"id\":");
  /* JavaScript has 53 bits for it: 22 of an OS thread, and the rest. */
  put_number(d, (uint64_t)d->process << 30 | item->arg);
  put_row(d, item);
  PUT(d, "}");
}

/* What begins with "name":...,"args":... */
static void put_text(struct green__drawing *d, const struct green__item *item,
                     const char *rest) {
  PUT(d, "{");
  put_bytes(d, item->text->bytes, item->text->length);
  put_string(d, rest);
  put_row(d, item);
  PUT(d, "}");
}

/* Speedscope closes a span only by its name; catapult complains if the
 * arguments come again. */
static size_t name_length(const struct green__text *text) {
  size_t i = sizeof "\"name\":\"" - 1;
  for (; text->bytes[i] != '"'; i++)
    if (text->bytes[i] == '\\') i++;
  return i + 1;
}

/* It lacks half of what a slice lacks: so it ends after those in it, and before
 * what begins at that time. */
static void put_span_end(struct green__drawing *d,
                         const struct green__item *item) {
  struct green__item end = *item;
  end.ts--;
  PUT(d, "{");
  put_bytes(d, item->text->bytes, name_length(item->text));
  PUT(d, ",\"cat\":\"span\",\"ph\":\"E\"");
  put_row(d, &end);
  PUT(d, "95}");
}

static void put_instant(struct green__drawing *d,
                        const struct green__item *item) {
  static const char *const names[] = {"", "killed", "cancelled by its scope",
                                      "thrown into"};
  PUT(d, "{\"name\":\"");
  if (item->name & 8) PUT(d, "interrupted: ");
  put_string(d, names[item->name & 3]);
  PUT(d, "\",\"cat\":\"interruption\",\"ph\":\"i\",\"s\":\"t\"");
  put_row(d, item);
  if (item->on) {
    PUT(d, ",\"args\":{\"by\":\"");
    put_thread(d, (uint32_t)item->on);
    PUT(d, "\"}");
  }
  PUT(d, "}");
}

static void put_count(struct green__drawing *d,
                      const struct green__item *item) {
  static const struct {
    const char *name, *unit;
  } kinds[] = {
      {"ready", "threads"}, {"memory", "bytes"}, {"threads", "alive"}};
  PUT(d, "{\"name\":\"");
  put_string(d, kinds[item->why].name);
  PUT(d, "\",\"ph\":\"C\"");
  put_row(d, item);
  PUT(d, ",\"args\":{\"");
  put_string(d, kinds[item->why].unit);
  PUT(d, "\":");
  put_number(d, item->why == COUNT_MEMORY ? item->arg * 1024 : item->arg);
  PUT(d, "}}");
}

static void put_task(struct green__drawing *d,
                     const struct green__item *item) {
  PUT(d, "{\"name\":\"");
  put_string(d, item->why == GREEN__JOB ? "job" : "look-up");
  PUT(d, "\",\"cat\":\"task\",\"ph\":\"");
  put_string(d, item->kind == ITEM_ASK ? "b" : "e");
  PUT(d, "\",\"id\":\"");
  put_pointer(d, item->arg);
  PUT(d, "\"");
  put_row(d, item);
  PUT(d, "}");
}

static void put_item(struct green__drawing *d,
                     const struct green__item *item) {
  PUT(d, ",\n");
  switch ((enum green__item_kind)item->kind) {
    case ITEM_NOTHING: break;
    case ITEM_RUN: put_run(d, item); break;
    case ITEM_WAIT: put_wait(d, item); break;
    case ITEM_READY:
    case ITEM_NEW: put_queued(d, item); break;
    case ITEM_POLL: put_poll(d, item); break;
    case ITEM_SPAN: put_text(d, item, ",\"cat\":\"span\",\"ph\":\"B\""); break;
    case ITEM_SPAN_END: put_span_end(d, item); break;
    case ITEM_FLOW:
    case ITEM_FLOW_END: put_flow(d, item); break;
    case ITEM_INSTANT: put_instant(d, item); break;
    case ITEM_MARK:
      put_text(d, item, ",\"cat\":\"mark\",\"ph\":\"i\",\"s\":\"t\"");
      break;
    case ITEM_COUNTER: put_text(d, item, ",\"ph\":\"C\""); break;
    case ITEM_COUNT: put_count(d, item); break;
    case ITEM_ASK:
    case ITEM_ANSWER: put_task(d, item); break;
  }
}

/* --- the whole --- */

static void put_metadata(struct green__drawing *d, uint32_t track,
                         const char *what) {
  PUT(d, ",\n{\"name\":\"");
  put_string(d, what);
  PUT(d, "\",\"ph\":\"M\",\"pid\":");
  put_number(d, d->process);
  PUT(d, ",\"tid\":");
  put_number(d, d->tracks[track].row);
  PUT(d, ",\"args\":{");
}

static void put_track(struct green__drawing *d, uint32_t track) {
  put_metadata(d, track, "thread_name");
  PUT(d, "\"name\":\"");
  put_name(d, &d->tracks[track]);
  PUT(d, "\"}}");
  put_metadata(d, track, "thread_sort_index");
  PUT(d, "\"sort_index\":");
  put_number(d, d->tracks[track].id);
  PUT(d, "}}");
}

/* The hub is the main thread of its process, as viewers see it, unless a green
 * thread has that number. */
static void number_rows(struct green__drawing *d) {
  uint32_t i, most = 0, hub = d->process;
  for (i = 0; i < d->track_count; i++) {
    struct green__track *t = &d->tracks[i];
    t->row = t->id;
    if (t->id > most) most = t->id;
  }
  if (d->index[green__track_place(d, hub)]) hub = most + 1;
  d->tracks[0].row = hub;
}

static void put_all(struct green__drawing *d,
                    const struct green__item *const *order) {
  size_t i;
  number_rows(d);
  PUT(d,
      "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
      "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":");
  put_number(d, d->process);
  PUT(d, ",\"args\":{\"name\":\"luagreen\"}}");
  for (i = 0; i < d->track_count; i++) put_track(d, (uint32_t)i);
  for (i = 0; i < d->count; i++) {
    const struct green__item *item = order ? order[i] : &d->items[i];
    if (item->kind != ITEM_NOTHING) put_item(d, item);
  }
  PUT(d, "\n]}\n");
  flush(d);
}

/* By time, else in the order of their making: they lie in one array. */
static int compare(const void *a, const void *b) {
  const struct green__item *x = *(const struct green__item *const *)a,
                           *y = *(const struct green__item *const *)b;
  if (x->ts != y->ts) return x->ts < y->ts ? -1 : 1;
  return x < y ? -1 : 1;
}
void green__timeline_put(struct green__drawing *d) {
  const struct green__item **order;
  size_t i;
  if (!d->unsorted) {
    put_all(d, NULL);
    return;
  }
  order = green__alloc((d->count + 1) * sizeof *order);
  if (!order) {
    d->failed = 1;
    return;
  }
  for (i = 0; i < d->count; i++) order[i] = &d->items[i];
  qsort(order, d->count, sizeof *order, compare);
  put_all(d, order);
  green__free(order);
}
