/* timeline.c - draws a trace: its events as Trace Event JSON.
 *
 * The hub is a process, each thread a row (track) of it, the hub itself row 0.
 * A thread's life is tiled by slices: it runs, waits for something, or is
 * ready. A span lies around the slices of its time, so a slice is cut where a
 * span begins or ends, and a look at a slow span shows what its thread waited
 * for. Arrows lead from the slice that woke a thread to the one in which it
 * goes on.
 *
 * An item is added when it begins, its duration when it ends, so that items are
 * in the order of time nearly by themselves. The ring may have lost
 * beginnings: first a walk over the events finds what was under way then.
 *
 * Nothing here runs the program. Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

enum item_kind {
  NOTHING, /* a slice of no length */
  RUN,
  WAIT,
  READY,
  NEW,
  POLL,
  SPAN,
  SPAN_END,
  FLOW,
  FLOW_END,
  INSTANT, /* name: enum green_strike, + 8 if delivered */
  MARK,
  COUNTER,
  COUNTS, /* arg: ready, and memory above; name: unused */
  THREADS,
  ASK,
  ANSWER
};

struct item {
  uint64_t ts, arg; /* arg: duration of a slice; text; number of a flow */
  uint64_t on;      /* RUN: who woke it, WAIT: on what */
  uint32_t track;
  uint8_t kind, why;
  uint16_t name;
  struct green__text *text; /* WAIT: the stack */
};

enum track_state { UNSEEN, OPEN, OVER };

struct track {
  uint32_t id;
  uint8_t state;
  uint32_t slice;           /* item of the one under way, + 1 */
  uint64_t last;            /* when the one before ended */
  uint32_t flow;            /* of the wake-up that it has not answered */
  uint64_t waker;           /* and by whom */
  uint8_t waker_kind;       /* enum green__source */
  struct green__text *name; /* of one that has ended */
  struct green_thread *live;
  struct open *spans; /* innermost first */
};

struct open {
  struct green__text *text;
  struct open *outer;
};

struct drawing {
  struct green_hub *hub;
  struct green__trace *trace;
  uint64_t first, end; /* time of the first event, and of now */
  struct item *items;
  size_t count, room;
  struct track *tracks;
  uint32_t track_count, track_room;
  uint32_t *index, index_mask; /* by id: place in tracks, + 1 */
  uint32_t flows, threads;
  uint64_t least_span; /* the first whose beginning is in the ring */
  uint64_t counted;    /* time of the last counters */
  int failed, unsorted, unseen;
  struct item none; /* where there is no memory for one */
  void (*put)(void *arg, const char *text, size_t length);
  void *arg;
  size_t length;
  char text[65536];
};

/* --- tracks --- */

static uint32_t place_of(const struct drawing *d, uint32_t id) {
  uint32_t i = id * 2654435761u & d->index_mask;
  while (d->index[i] && d->tracks[d->index[i] - 1].id != id)
    i = (i + 1) & d->index_mask;
  return i;
}

static int grow_tracks(struct drawing *d) {
  uint32_t room = d->track_room ? d->track_room * 2 : 256, i;
  struct track *tracks = green__realloc(d->tracks, room * sizeof *tracks);
  uint32_t *index = green__alloc(room * 2 * sizeof *index);
  if (tracks) d->tracks = tracks;
  if (!tracks || !index) {
    green__free(index);
    return 0;
  }
  green__free(d->index);
  d->index = index;
  d->index_mask = room * 2 - 1;
  d->track_room = room;
  for (i = 0; i < d->track_count; i++)
    d->index[place_of(d, d->tracks[i].id)] = i + 1;
  return 1;
}

/* Its number; the first is the hub's. */
static uint32_t track_of(struct drawing *d, uint32_t id) {
  uint32_t place;
  if (d->track_count == d->track_room && !grow_tracks(d)) {
    d->failed = 1;
    return 0;
  }
  place = place_of(d, id);
  if (!d->index[place]) {
    struct track *t = &d->tracks[d->track_count];
    memset(t, 0, sizeof *t);
    t->id = id;
    d->index[place] = ++d->track_count;
  }
  return d->index[place] - 1;
}

/* --- items --- */

static struct item *add(struct drawing *d, uint64_t ts, enum item_kind kind,
                        uint32_t track) {
  struct item *item;
  if (d->count == d->room) {
    size_t room = d->room ? d->room * 2 : 4096;
    item = green__realloc(d->items, room * sizeof *item);
    if (!item) {
      d->failed = 1;
      return &d->none;
    }
    d->items = item;
    d->room = room;
  }
  item = &d->items[d->count++];
  memset(item, 0, sizeof *item);
  item->ts = ts;
  item->kind = (uint8_t)kind;
  item->track = track;
  if (d->count > 1 && ts < item[-1].ts) d->unsorted = 1;
  return item;
}

static void end_slice(struct drawing *d, uint32_t track, uint64_t ts) {
  struct track *t = &d->tracks[track];
  struct item *slice;
  if (!t->slice || d->failed) return;
  slice = &d->items[t->slice - 1];
  assert(ts >= slice->ts);
  slice->arg = ts - slice->ts;
  t->last = ts;
  if (!slice->arg) slice->kind = NOTHING;
  t->slice = 0;
}

static struct item *begin_slice(struct drawing *d, uint32_t track, uint64_t ts,
                                enum item_kind kind) {
  struct item *slice;
  end_slice(d, track, ts);
  slice = add(d, ts, kind, track);
  d->tracks[track].slice = (uint32_t)d->count;
  return slice;
}

/* Goes on with a slice of the same kind: a span begins or ends here. */
static void cut_slice(struct drawing *d, uint32_t track,
                      const struct item *former, uint64_t ts) {
  struct item copy = *former;
  copy.ts = ts;
  copy.arg = 0;
  if (copy.kind == RUN) copy.why = 0; /* who woke it, the first one tells */
  *begin_slice(d, track, ts, (enum item_kind)copy.kind) = copy;
}

/* --- spans --- */

static void open_span(struct drawing *d, uint32_t track, uint64_t ts,
                      struct green__text *text) {
  struct track *t = &d->tracks[track];
  struct open *open = green__alloc(sizeof *open);
  if (!open) {
    d->failed = 1;
    return;
  }
  open->text = text;
  open->outer = t->spans;
  t->spans = open;
  add(d, ts, SPAN, track)->text = text;
}

/* Closes it; the inner ones that stay open are closed and opened again. */
static void close_span(struct drawing *d, uint32_t track, uint64_t ts,
                       uint64_t id) {
  struct track *t = &d->tracks[track];
  struct open *open = t->spans, *inner = NULL;
  while (open && open->text->id != id) open = open->outer;
  if (!open) return;
  while ((open = t->spans)) {
    int found = open->text->id == id;
    t->spans = open->outer;
    add(d, ts, SPAN_END, track);
    if (!found) {
      open->outer = inner;
      inner = open;
      continue;
    }
    green__free(open);
    break;
  }
  while ((open = inner)) {
    inner = open->outer;
    open->outer = t->spans;
    t->spans = open;
    add(d, ts, SPAN, track)->text = open->text;
  }
}

static void close_spans(struct drawing *d, uint32_t track, uint64_t ts) {
  struct track *t = &d->tracks[track];
  struct open *open;
  while ((open = t->spans)) {
    t->spans = open->outer;
    green__free(open);
    add(d, ts, SPAN_END, track);
  }
}

/* --- what was under way at the first event --- */

static void first_slice(struct drawing *d, uint32_t track,
                        const struct green__event *e) {
  switch (e->kind) {
    case GREEN__SPAWNED: return;
    case GREEN__READY:
      begin_slice(d, track, d->first, e->name ? WAIT : NEW)->name = e->name;
      return;
    case GREEN__RUNS: begin_slice(d, track, d->first, READY); return;
    case GREEN__ENDED: begin_slice(d, track, d->first, NEW); return;
    case GREEN__POLLED: begin_slice(d, track, d->first, POLL); return;
    default:
      if (e->thread) begin_slice(d, track, d->first, RUN);
  }
}

static const struct green__event *event(const struct green__trace *trace,
                                        uint64_t n) {
  return &trace->at[n & trace->mask];
}

static uint64_t first_event(const struct green__trace *trace) {
  return trace->count > trace->mask ? trace->count - trace->mask - 1 : 0;
}

/* The text of the event, or NULL. */
static struct green__text *text_of(const struct green__event *e) {
  return e->kind >= GREEN__TEXTS ? (void *)(uintptr_t)e->arg : NULL;
}

static void find_least_span(struct drawing *d) {
  uint64_t n = first_event(d->trace);
  d->least_span = UINT64_MAX;
  for (; n < d->trace->count; n++) {
    const struct green__event *e = event(d->trace, n);
    if (e->kind != GREEN__SPAN) continue;
    d->least_span = text_of(e)->id;
    return;
  }
}

/* Spans of which only the end is in the ring, the outermost first: that is the
 * one that ends last. Then those that are open still, the oldest first. */
static void open_early_spans(struct drawing *d) {
  uint64_t n = d->trace->count, first = first_event(d->trace);
  struct green__text *text, *oldest = NULL;
  for (text = d->trace->early; text; text = text->next) oldest = text;
  while (oldest) {
    struct green__text *younger = d->trace->early;
    open_span(d, track_of(d, oldest->thread), d->first, oldest);
    if (younger == oldest) break;
    while (younger->next != oldest) younger = younger->next;
    oldest = younger;
  }
  while (n-- > first) {
    const struct green__event *e = event(d->trace, n);
    if (e->kind == GREEN__SPAN_END && text_of(e)->id < d->least_span)
      open_span(d, track_of(d, e->thread), d->first, text_of(e));
  }
}

static int has_first(const struct green__event *e) {
  return e->kind != GREEN__STRUCK && e->kind != GREEN__COUNTER &&
         e->kind != GREEN__STACK && e->kind != GREEN__SPAN_END;
}

static void draw_beginning(struct drawing *d) {
  uint64_t n = first_event(d->trace);
  find_least_span(d);
  open_early_spans(d);
  for (; n < d->trace->count && !d->failed; n++) {
    const struct green__event *e = event(d->trace, n);
    uint32_t track = track_of(d, e->thread);
    if (d->failed || d->tracks[track].state != UNSEEN || !has_first(e))
      continue;
    d->tracks[track].state = OPEN;
    first_slice(d, track, e);
  }
}

/* --- the events, one after the other --- */

/* An arrow begins in the slice that runs at that time. */
static void draw_wake(struct drawing *d, uint32_t track,
                      const struct green__event *e) {
  struct track *t = &d->tracks[track];
  int by_thread = e->why == GREEN__BY_THREAD;
  uint32_t from = by_thread ? track_of(d, (uint32_t)e->arg) : track_of(d, 0);
  uint64_t ts = e->ns;
  const struct item *slice;
  if (d->failed) return;
  t = &d->tracks[track];
  t->waker = e->arg;
  t->waker_kind = (uint8_t)(e->why + 1);
  if (!d->tracks[from].slice) { /* its last slice has ended with it */
    if (!by_thread || !d->tracks[from].last) return;
    ts = d->tracks[from].last - 1;
    if (ts < d->first) return;
  } else {
    slice = &d->items[d->tracks[from].slice - 1];
    if (slice->kind != RUN && slice->kind != POLL) return;
  }
  t->flow = ++d->flows;
  add(d, ts, FLOW, from)->arg = t->flow;
}

static void draw_ready(struct drawing *d, uint32_t track,
                       const struct green__event *e) {
  draw_wake(d, track, e);
  if (!d->failed) begin_slice(d, track, e->ns, READY);
}

static void draw_run(struct drawing *d, uint32_t track,
                     const struct green__event *e) {
  struct track *t = &d->tracks[track];
  struct item *slice = begin_slice(d, track, e->ns, RUN);
  slice->on = t->waker;
  slice->why = t->waker_kind;
  t->waker_kind = 0;
  if (t->flow) add(d, e->ns, FLOW_END, track)->arg = t->flow;
  t->flow = 0;
}

static void draw_left(struct drawing *d, uint32_t track,
                      const struct green__event *e) {
  struct item *slice;
  if (e->why >= GREEN_DONE) {
    end_slice(d, track, e->ns);
    return;
  }
  slice = begin_slice(d, track, e->ns, e->why == GREEN_BLOCKED ? WAIT : READY);
  slice->name = e->name;
  slice->on = e->arg;
}

static void draw_end(struct drawing *d, uint32_t track,
                     const struct green__event *e) {
  struct track *t = &d->tracks[track];
  end_slice(d, track, e->ns);
  close_spans(d, track, e->ns);
  t->state = OVER;
  t->name = text_of(e);
  d->threads--;
  add(d, e->ns, THREADS, 0)->arg = d->threads;
}

static void draw_span(struct drawing *d, uint32_t track,
                      const struct green__event *e) {
  uint32_t at = d->tracks[track].slice;
  struct item former = d->none;
  if (at) former = d->items[at - 1];
  end_slice(d, track, e->ns);
  if (e->kind == GREEN__SPAN)
    open_span(d, track, e->ns, text_of(e));
  else
    close_span(d, track, e->ns, text_of(e)->id);
  if (at && !d->failed) cut_slice(d, track, &former, e->ns);
}

/* At most each 100 us: counters are half of a file otherwise. */
static void draw_counts(struct drawing *d, const struct green__event *e) {
  if (e->ns - d->counted < 100000) return;
  d->counted = e->ns;
  add(d, e->ns, COUNTS, 0)->arg = e->arg;
}

static void draw_polled(struct drawing *d, const struct green__event *e) {
  uint32_t slice = d->tracks[0].slice;
  if (slice) d->items[slice - 1].why = e->why;
  end_slice(d, 0, e->ns);
  draw_counts(d, e);
}

static void draw_instant(struct drawing *d, uint32_t track,
                         const struct green__event *e) {
  struct item *item = add(d, e->ns, INSTANT, track);
  item->name = (uint16_t)(e->why + (e->kind == GREEN__DELIVERED ? 8 : 0));
  item->on = e->arg;
}

static void draw_text(struct drawing *d, uint32_t track,
                      const struct green__event *e) {
  uint32_t slice = d->tracks[track].slice;
  if (e->kind == GREEN__STACK && slice)
    d->items[slice - 1].text = text_of(e);
  else if (e->kind != GREEN__STACK)
    add(d, e->ns, e->kind == GREEN__MARK ? MARK : COUNTER, track)->text =
        text_of(e);
}

static void draw(struct drawing *d, const struct green__event *e) {
  uint32_t track = track_of(d, e->thread);
  if (d->failed) return;
  switch ((enum green__event_kind)e->kind) {
    case GREEN__SPAWNED:
      d->threads++;
      begin_slice(d, track, e->ns, NEW);
      break;
    case GREEN__READY: draw_ready(d, track, e); break;
    case GREEN__RUNS: draw_run(d, track, e); break;
    case GREEN__LEFT: draw_left(d, track, e); break;
    case GREEN__ENDED: draw_end(d, track, e); break;
    case GREEN__STRUCK:
    case GREEN__DELIVERED: draw_instant(d, track, e); break;
    case GREEN__POLLS: begin_slice(d, 0, e->ns, POLL); break;
    case GREEN__POLLED: draw_polled(d, e); break;
    case GREEN__ASKED: add(d, e->ns, ASK, 0)->arg = e->arg; break;
    case GREEN__ANSWERED: add(d, e->ns, ANSWER, 0)->arg = e->arg; break;
    case GREEN__MARK:
    case GREEN__COUNTER:
    case GREEN__STACK: draw_text(d, track, e); break;
    case GREEN__SPAN:
    case GREEN__SPAN_END: draw_span(d, track, e); break;
    case GREEN__NOTHING: break;
  }
}

/* --- those that live now --- */

/* One that no event of the ring tells of has waited, or run, all the time. A
 * picture has room for so many of them. */
enum { MOST_UNSEEN = 1000 };

static void draw_live(struct green_thread *t, void *arg) {
  struct drawing *d = arg;
  const struct green__trace *trace = d->trace;
  uint32_t track, count = d->track_count;
  int i, wanted = !trace->only_count;
  for (i = 0; i < trace->only_count; i++)
    if (trace->only[i] == t->id) wanted = 1;
  if (!wanted || d->failed) return;
  if (!d->index[place_of(d, (uint32_t)t->id)] && ++d->unseen > MOST_UNSEEN)
    return;
  track = track_of(d, (uint32_t)t->id);
  if (d->failed) return;
  d->tracks[track].live = t;
  if (track < count && d->tracks[track].state != UNSEEN) return;
  if (d->tracks[track].slice) return;
  begin_slice(d, track, d->first,
              t == d->hub->hot.current    ? RUN
              : t->state == GREEN_BLOCKED ? WAIT
              : t->state == GREEN_NEW     ? NEW
                                          : READY);
  if (t->state == GREEN_BLOCKED && !d->failed)
    d->items[d->count - 1].name = UINT16_MAX; /* by the thread itself */
}

static void draw_ends(struct drawing *d) {
  uint32_t i;
  for (i = 0; i < d->track_count; i++) {
    end_slice(d, i, d->end);
    close_spans(d, i, d->end);
  }
}

static uint32_t threads_at_first(const struct drawing *d) {
  uint64_t n = first_event(d->trace);
  uint32_t threads = green_live(d->hub);
  for (; n < d->trace->count; n++) {
    const struct green__event *e = event(d->trace, n);
    if (e->kind == GREEN__SPAWNED) threads--;
    if (e->kind == GREEN__ENDED) threads++;
  }
  return threads;
}

static void draw_all(struct drawing *d) {
  uint64_t n = first_event(d->trace);
  d->first = d->trace->count ? event(d->trace, n)->ns : d->end;
  d->threads = threads_at_first(d);
  track_of(d, 0);
  if (!d->failed) d->tracks[0].state = OPEN;
  if (d->trace->count && event(d->trace, n)->kind == GREEN__POLLED)
    d->tracks[0].state = UNSEEN;
  draw_beginning(d);
  green_each(d->hub, draw_live, d);
  for (; n < d->trace->count && !d->failed; n++) draw(d, event(d->trace, n));
  draw_ends(d);
}

/* By time, else in the order of their making: they lie in one array. */
static int compare(const void *a, const void *b) {
  const struct item *x = *(const struct item *const *)a,
                    *y = *(const struct item *const *)b;
  if (x->ts != y->ts) return x->ts < y->ts ? -1 : 1;
  return x < y ? -1 : 1;
}

/* --- as text --- */

static void flush(struct drawing *d) {
  if (d->length) d->put(d->arg, d->text, d->length);
  d->length = 0;
}

static void put_bytes(struct drawing *d, const char *bytes, size_t n) {
  if (d->length + n > sizeof d->text) flush(d);
  if (n > sizeof d->text) {
    d->put(d->arg, bytes, n);
    return;
  }
  memcpy(d->text + d->length, bytes, n);
  d->length += n;
}

#define PUT(d, literal) put_bytes(d, literal, sizeof(literal) - 1)

static void put_string(struct drawing *d, const char *text) {
  put_bytes(d, text, strlen(text));
}

static void put_number(struct drawing *d, uint64_t n) {
  char digits[20], *p = digits + sizeof digits;
  do *--p = (char)('0' + n % 10);
  while (n /= 10);
  put_bytes(d, p, (size_t)(digits + sizeof digits - p));
}

/* Microseconds with three decimals. */
static void put_time(struct drawing *d, uint64_t ns) {
  char decimals[4] = {'.', (char)('0' + ns / 100 % 10),
                      (char)('0' + ns / 10 % 10), (char)('0' + ns % 10)};
  put_number(d, ns / 1000);
  put_bytes(d, decimals, 4);
}

static void put_pointer(struct drawing *d, uint64_t p) {
  static const char hex[] = "0123456789abcdef";
  char digits[16], *to = digits + sizeof digits;
  do *--to = hex[p & 15];
  while (p >>= 4);
  PUT(d, "0x");
  put_bytes(d, to, (size_t)(digits + sizeof digits - to));
}

static void put_escaped(struct drawing *d, const char *text, size_t length) {
  size_t size = green_json(NULL, text, length);
  if (size > sizeof d->text) return; /* texts are short */
  if (d->length + size > sizeof d->text) flush(d);
  d->length += green_json(d->text + d->length, text, length);
}

/* "#17 fetch", of one whose name is known. */
static void put_name(struct drawing *d, const struct track *t) {
  const struct green_teller *teller = d->trace->teller;
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
  } else if (t->live && *green_name(t->live)) {
    put_escaped(d, green_name(t->live), strlen(green_name(t->live)));
  } else if (t->live && teller && teller->name) {
    size_t length = teller->name(d->hub, t->live, name, sizeof name);
    put_escaped(d, name, length);
  }
}

static void put_row(struct drawing *d, const struct item *item) {
  PUT(d, ",\"pid\":");
  put_number(d, (uint64_t)getpid());
  PUT(d, ",\"tid\":");
  put_number(d, d->tracks[item->track].id);
  PUT(d, ",\"ts\":");
  put_time(d, item->ts - d->first);
}

static const char *kind_name(const struct drawing *d,
                             const struct item *item) {
  const struct green_thread *live = d->tracks[item->track].live;
  if (item->name == UINT16_MAX) return live->kind->name;
  if (!item->name) return NULL;
  return d->trace->kinds[item->name - 1]->name;
}

static void put_slice(struct drawing *d, const struct item *item,
                      const char *category) {
  PUT(d, "\",\"cat\":\"");
  put_string(d, category);
  PUT(d, "\",\"ph\":\"X\"");
  put_row(d, item);
  PUT(d, ",\"dur\":");
  put_time(d, item->arg);
}

/* The one that woke a thread: "#3 store", "fd 7". */
static void put_waker(struct drawing *d, const struct item *item) {
  static const char *const names[] = {
      "the host or libuv", "a timer", "fd ", "libuv", "a post", "a signal"};
  int source = item->why - 1;
  PUT(d, ",\"args\":{\"woken by\":\"");
  if (source == GREEN__BY_THREAD)
    put_name(d, &d->tracks[d->index[place_of(d, (uint32_t)item->on)] - 1]);
  else
    put_string(d, names[source]);
  if (source == GREEN__BY_FD) put_number(d, item->on);
  PUT(d, "\"}");
}

static void put_run(struct drawing *d, const struct item *item) {
  PUT(d, "{\"name\":\"run");
  put_slice(d, item, "run");
  if (item->why) put_waker(d, item);
  PUT(d, "}");
}

static void put_wait(struct drawing *d, const struct item *item) {
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

static void put_poll(struct drawing *d, const struct item *item) {
  PUT(d, "{\"name\":\"");
  put_string(d, item->why ? "sleep" : "poll");
  put_slice(d, item, "hub");
  PUT(d, "}");
}

/* A slice for which the thread cannot do anything. */
static void put_queued(struct drawing *d, const struct item *item) {
  const char *name = item->kind == READY ? kind_name(d, item) : NULL;
  PUT(d, "{\"name\":\"");
  put_string(d, item->kind == NEW ? "not started" : "ready");
  if (name) {
    PUT(d, " after ");
    put_string(d, name);
  }
  put_slice(d, item, "ready");
  PUT(d, "}");
}

static void put_flow(struct drawing *d, const struct item *item) {
  PUT(d, "{\"name\":\"wake\",\"cat\":\"wake\",\"ph\":\"");
  if (item->kind == FLOW)
    PUT(d, "s\"");
  else
    PUT(d, "f\",\"bp\":\"e\"");
  PUT(d, ",\"id\":");
  put_number(d, item->arg);
  put_row(d, item);
  PUT(d, "}");
}

/* What begins with "name":...,"args":... */
static void put_text(struct drawing *d, const struct item *item,
                     const char *rest) {
  PUT(d, "{");
  put_bytes(d, item->text->bytes, item->text->length);
  put_string(d, rest);
  put_row(d, item);
  PUT(d, "}");
}

static void put_span_end(struct drawing *d, const struct item *item) {
  PUT(d, "{\"ph\":\"E\"");
  put_row(d, item);
  PUT(d, "}");
}

static void put_instant(struct drawing *d, const struct item *item) {
  static const char *const names[] = {"", "killed", "cancelled by its scope",
                                      "thrown into"};
  PUT(d, "{\"name\":\"");
  if (item->name & 8) PUT(d, "interrupted: ");
  put_string(d, names[item->name & 3]);
  PUT(d, "\",\"cat\":\"interruption\",\"ph\":\"i\",\"s\":\"t\"");
  put_row(d, item);
  if (item->on) {
    PUT(d, ",\"args\":{\"by\":\"#");
    put_number(d, item->on);
    PUT(d, "\"}");
  }
  PUT(d, "}");
}

static void put_count(struct drawing *d, const struct item *item,
                      const char *name, uint64_t value) {
  PUT(d, "{\"name\":\"");
  put_string(d, name);
  PUT(d, "\",\"ph\":\"C\"");
  put_row(d, item);
  PUT(d, ",\"args\":{\"");
  put_string(d, name);
  PUT(d, "\":");
  put_number(d, value);
  PUT(d, "}}");
}

static void put_counts(struct drawing *d, const struct item *item) {
  put_count(d, item, "ready", (uint32_t)item->arg);
  PUT(d, ",\n");
  put_count(d, item, "memory", (item->arg >> 32) * 1024);
}

static void put_job(struct drawing *d, const struct item *item) {
  PUT(d, "{\"name\":\"look-up\",\"cat\":\"resolver\",\"ph\":\"");
  put_string(d, item->kind == ASK ? "b" : "e");
  PUT(d, "\",\"id\":\"");
  put_pointer(d, item->arg);
  PUT(d, "\"");
  put_row(d, item);
  PUT(d, "}");
}

static void put_item(struct drawing *d, const struct item *item) {
  PUT(d, ",\n");
  switch ((enum item_kind)item->kind) {
    case NOTHING: break;
    case RUN: put_run(d, item); break;
    case WAIT: put_wait(d, item); break;
    case READY:
    case NEW: put_queued(d, item); break;
    case POLL: put_poll(d, item); break;
    case SPAN: put_text(d, item, ",\"cat\":\"span\",\"ph\":\"B\""); break;
    case SPAN_END: put_span_end(d, item); break;
    case FLOW:
    case FLOW_END: put_flow(d, item); break;
    case INSTANT: put_instant(d, item); break;
    case MARK:
      put_text(d, item, ",\"cat\":\"mark\",\"ph\":\"i\",\"s\":\"t\"");
      break;
    case COUNTER: put_text(d, item, ",\"ph\":\"C\""); break;
    case COUNTS: put_counts(d, item); break;
    case THREADS: put_count(d, item, "threads", item->arg); break;
    case ASK:
    case ANSWER: put_job(d, item); break;
  }
}

static void put_metadata(struct drawing *d, uint32_t track, const char *what) {
  PUT(d, ",\n{\"name\":\"");
  put_string(d, what);
  PUT(d, "\",\"ph\":\"M\",\"pid\":");
  put_number(d, (uint64_t)getpid());
  PUT(d, ",\"tid\":");
  put_number(d, d->tracks[track].id);
  PUT(d, ",\"args\":{");
}

static void put_track(struct drawing *d, uint32_t track) {
  put_metadata(d, track, "thread_name");
  PUT(d, "\"name\":\"");
  put_name(d, &d->tracks[track]);
  PUT(d, "\"}}");
  put_metadata(d, track, "thread_sort_index");
  PUT(d, "\"sort_index\":");
  put_number(d, d->tracks[track].id);
  PUT(d, "}}");
}

static void put_all(struct drawing *d, const struct item *const *order) {
  size_t i;
  PUT(d,
      "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
      "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":");
  put_number(d, (uint64_t)getpid());
  PUT(d, ",\"tid\":0,\"args\":{\"name\":\"luagreen\"}}");
  for (i = 0; i < d->track_count; i++) put_track(d, (uint32_t)i);
  for (i = 0; i < d->count; i++) {
    const struct item *item = order ? order[i] : &d->items[i];
    if (item->kind != NOTHING) put_item(d, item);
  }
  PUT(d, "\n]}\n");
  flush(d);
}

static void put_sorted(struct drawing *d) {
  const struct item **order;
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

static int result(struct drawing *d) {
  int failed = d->failed;
  uint32_t i;
  for (i = 0; i < d->track_count; i++) {
    struct open *open;
    while ((open = d->tracks[i].spans)) {
      d->tracks[i].spans = open->outer;
      green__free(open);
    }
  }
  green__free(d->index);
  green__free(d->tracks);
  green__free(d->items);
  green__free(d);
  return failed ? UV_ENOMEM : 0;
}

int green__timeline(struct green_hub *h, struct green__trace *trace,
                    void (*put)(void *arg, const char *text, size_t length),
                    void *arg) {
  struct drawing *d = green__alloc(sizeof *d);
  if (!d) return UV_ENOMEM;
  d->hub = h;
  d->trace = trace;
  d->put = put;
  d->arg = arg;
  d->end = uv_hrtime();
  draw_all(d);
  if (!d->failed) put_sorted(d);
  return result(d);
}
