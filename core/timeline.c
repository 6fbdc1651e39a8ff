/* timeline.c - draws a trace: from its events to rows with slices and arrows.
 *
 * The hub is a process, each thread a row (track) of it, the hub itself row 0.
 * A thread's life is tiled by slices: it runs, waits for something, or is
 * ready. A span lies around the slices of its time, so a slice is cut where a
 * span begins or ends, and a look at a slow span shows what its thread waited
 * for. Arrows lead from the slice that woke a thread to the one in which it
 * goes on.
 *
 * The ring may have lost beginnings: first a walk over the events finds what
 * was under way then.
 *
 * Nothing here runs the program. Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "timeline.h"

#include <sys/syscall.h>
#include <unistd.h>

/* --- what was under way at the first event --- */

/* The first event of a thread tells what it did until then. */
static void first_slice(struct green__drawing *d, uint32_t track,
                        const struct green__event *e) {
  switch (e->kind) {
    case GREEN__SPAWNED: return;
    case GREEN__READY:
      green__slice_begin(d, track, d->first, e->name ? ITEM_WAIT : ITEM_NEW)
          ->name = e->name;
      return;
    case GREEN__RUNS:
      green__slice_begin(d, track, d->first, ITEM_READY);
      return;
    case GREEN__ENDED:
      green__slice_begin(d, track, d->first, ITEM_NEW);
      return;
    case GREEN__POLLED:
      green__slice_begin(d, track, d->first, ITEM_POLL);
      return;
    default:
      if (e->thread) green__slice_begin(d, track, d->first, ITEM_RUN);
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

static void find_least_span(struct green__drawing *d) {
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
static void open_early_spans(struct green__drawing *d) {
  uint64_t n = d->trace->count, first = first_event(d->trace);
  struct green__text *text, *oldest = NULL;
  for (text = d->trace->early; text; text = text->next) oldest = text;
  while (oldest) {
    struct green__text *younger = d->trace->early;
    green__span_open(d, green__track_of(d, oldest->thread), d->first, oldest);
    if (younger == oldest) break;
    while (younger->next != oldest) younger = younger->next;
    oldest = younger;
  }
  while (n-- > first) {
    const struct green__event *e = event(d->trace, n);
    if (e->kind == GREEN__SPAN_END && text_of(e)->id < d->least_span)
      green__span_open(d, green__track_of(d, e->thread), d->first, text_of(e));
  }
}

static int has_first(const struct green__event *e) {
  return e->kind != GREEN__STRUCK && e->kind != GREEN__COUNTER &&
         e->kind != GREEN__STACK && e->kind != GREEN__SPAN_END &&
         e->kind != GREEN__MARK; /* perhaps by another thread */
}

static void draw_beginning(struct green__drawing *d) {
  uint64_t n = first_event(d->trace);
  find_least_span(d);
  open_early_spans(d);
  for (; n < d->trace->count && !d->failed; n++) {
    const struct green__event *e = event(d->trace, n);
    uint32_t track = green__track_of(d, e->thread);
    if (d->failed || d->tracks[track].state != TRACK_UNSEEN || !has_first(e))
      continue;
    d->tracks[track].state = TRACK_OPEN;
    first_slice(d, track, e);
  }
}

/* --- counters --- */

/* They would be half of a file otherwise. */
enum { COUNT_EACH = 100000 };
#define UNCOUNTED UINT64_MAX

static void draw_count(struct green__drawing *d, enum green__count_kind kind,
                       uint64_t ts) {
  struct green__count *c = &d->counts[kind];
  struct green__item *item = green__item_add(d, ts, ITEM_COUNT, 0);
  c->at = ts;
  c->drawn = c->number;
  item->why = kind;
  item->arg = c->number;
}

static void count(struct green__drawing *d, enum green__count_kind kind,
                  uint64_t ts, uint64_t number) {
  struct green__count *c = &d->counts[kind];
  c->number = number;
  if (number != c->drawn && ts >= c->at + COUNT_EACH) draw_count(d, kind, ts);
}

/* The last of many changes lasts: it is drawn as soon as time has passed, but
 * where it belongs, after the last event (and the arrow that ends in it). */
static void draw_late_counts(struct green__drawing *d, uint64_t now) {
  int i;
  for (i = 0; i < COUNTS; i++) {
    struct green__count *c = &d->counts[i];
    if (c->number != c->drawn && now >= c->at + COUNT_EACH)
      draw_count(d, (enum green__count_kind)i, d->last + 1);
  }
  d->last = now;
}

static void count_threads(struct green__drawing *d, uint64_t ts) {
  count(d, COUNT_THREADS, ts, d->threads);
}

/* --- the events, one after the other --- */

/* An arrow begins in the slice that runs at that time. */
static void draw_wake(struct green__drawing *d, uint32_t track,
                      const struct green__event *e) {
  struct green__track *t = &d->tracks[track];
  int by_thread = e->why == GREEN__BY_THREAD;
  uint32_t from =
      by_thread ? green__track_of(d, (uint32_t)e->arg) : green__track_of(d, 0);
  uint64_t ts = e->ns;
  const struct green__item *slice;
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
    if (slice->kind != ITEM_RUN && slice->kind != ITEM_POLL) return;
  }
  t->flow = ++d->flows;
  green__item_add(d, ts, ITEM_FLOW, from)->arg = t->flow;
}

static void draw_ready(struct green__drawing *d, uint32_t track,
                       const struct green__event *e) {
  draw_wake(d, track, e);
  if (!d->failed) green__slice_begin(d, track, e->ns, ITEM_READY);
}

static void draw_run(struct green__drawing *d, uint32_t track,
                     const struct green__event *e) {
  struct green__track *t = &d->tracks[track];
  struct green__item *slice = green__slice_begin(d, track, e->ns, ITEM_RUN);
  slice->on = t->waker;
  slice->why = t->waker_kind;
  t->waker_kind = 0;
  if (t->flow)
    green__item_add(d, e->ns + 1, ITEM_FLOW_END, track)->arg = t->flow;
  t->flow = 0;
}

static void draw_left(struct green__drawing *d, uint32_t track,
                      const struct green__event *e) {
  uint32_t at = d->tracks[track].slice;
  struct green__item *slice;
  if (e->why >= GREEN_DONE) {
    if (at && d->items[at - 1].kind == ITEM_RUN)
      d->items[at - 1].name = e->why;
    green__slice_end(d, track, e->ns);
    return;
  }
  slice = green__slice_begin(d, track, e->ns,
                             e->why == GREEN_BLOCKED ? ITEM_WAIT : ITEM_READY);
  slice->name = e->name;
  slice->on = e->arg;
}

static void draw_spawn(struct green__drawing *d, uint32_t track,
                       const struct green__event *e) {
  struct green__item *slice = green__slice_begin(d, track, e->ns, ITEM_NEW);
  slice->on = e->arg;
  d->threads++;
  count_threads(d, e->ns);
}

static void draw_end(struct green__drawing *d, uint32_t track,
                     const struct green__event *e) {
  struct green__track *t = &d->tracks[track];
  green__slice_end(d, track, e->ns);
  green__spans_close(d, track, e->ns);
  t->state = TRACK_OVER;
  t->name = text_of(e);
  d->threads--;
  count_threads(d, e->ns);
}

static void draw_span(struct green__drawing *d, uint32_t track,
                      const struct green__event *e) {
  uint32_t at = d->tracks[track].slice;
  struct green__item former = d->none;
  if (at) former = d->items[at - 1];
  green__slice_end(d, track, e->ns);
  if (e->kind == GREEN__SPAN)
    green__span_open(d, track, e->ns, text_of(e));
  else
    green__span_close(d, track, e->ns, text_of(e)->id);
  if (at && !d->failed) green__slice_cut(d, track, &former, e->ns);
}

static void draw_polls(struct green__drawing *d,
                       const struct green__event *e) {
  green__slice_begin(d, 0, e->ns, ITEM_POLL);
  count(d, COUNT_READY, e->ns, e->arg);
}

static void draw_polled(struct green__drawing *d,
                        const struct green__event *e) {
  uint32_t slice = d->tracks[0].slice;
  if (slice) d->items[slice - 1].why = e->why;
  green__slice_end(d, 0, e->ns);
  count(d, COUNT_READY, e->ns, (uint32_t)e->arg);
  count(d, COUNT_MEMORY, e->ns, e->arg >> 32);
}

static void draw_instant(struct green__drawing *d, uint32_t track,
                         const struct green__event *e) {
  struct green__item *item = green__item_add(d, e->ns, ITEM_INSTANT, track);
  item->name = (uint16_t)(e->why + (e->kind == GREEN__DELIVERED ? 8 : 0));
  item->on = e->arg;
}

static void draw_task(struct green__drawing *d, const struct green__event *e,
                      enum green__item_kind kind) {
  struct green__item *item = green__item_add(d, e->ns, kind, 0);
  item->arg = e->arg;
  item->why = e->why;
}

static void draw_text(struct green__drawing *d, uint32_t track,
                      const struct green__event *e) {
  uint32_t slice = d->tracks[track].slice;
  if (e->kind == GREEN__STACK && slice)
    d->items[slice - 1].text = text_of(e);
  else if (e->kind != GREEN__STACK)
    green__item_add(d, e->ns,
                    e->kind == GREEN__MARK ? ITEM_MARK : ITEM_COUNTER, track)
        ->text = text_of(e);
}

static void draw(struct green__drawing *d, const struct green__event *e) {
  uint32_t track = green__track_of(d, e->thread);
  if (d->failed) return;
  draw_late_counts(d, e->ns);
  switch ((enum green__event_kind)e->kind) {
    case GREEN__SPAWNED: draw_spawn(d, track, e); break;
    case GREEN__READY: draw_ready(d, track, e); break;
    case GREEN__RUNS: draw_run(d, track, e); break;
    case GREEN__LEFT: draw_left(d, track, e); break;
    case GREEN__ENDED: draw_end(d, track, e); break;
    case GREEN__STRUCK:
    case GREEN__DELIVERED: draw_instant(d, track, e); break;
    case GREEN__POLLS: draw_polls(d, e); break;
    case GREEN__POLLED: draw_polled(d, e); break;
    case GREEN__ASKED: draw_task(d, e, ITEM_ASK); break;
    case GREEN__ANSWERED: draw_task(d, e, ITEM_ANSWER); break;
    case GREEN__MARK:
    case GREEN__COUNTER:
    case GREEN__STACK: draw_text(d, track, e); break;
    case GREEN__SPAN:
    case GREEN__SPAN_END: draw_span(d, track, e); break;
    case GREEN__NOTHING: break;
  }
}

/* --- those that live now --- */

/* A thread without an event in the ring has waited, or run, all the time. A
 * picture has room for MOST_UNSEEN of them. */
enum { MOST_UNSEEN = 1000 };

static void draw_live(struct green_thread *t, void *arg) {
  struct green__drawing *d = arg;
  const struct green__trace *trace = d->trace;
  uint32_t track, count = d->track_count;
  int i, wanted = !trace->only_count;
  for (i = 0; i < trace->only_count; i++)
    if (trace->only[i] == t->id) wanted = 1;
  if (!wanted || d->failed) return;
  if (!d->index[green__track_place(d, (uint32_t)t->id)] &&
      ++d->unseen > MOST_UNSEEN)
    return;
  track = green__track_of(d, (uint32_t)t->id);
  if (d->failed) return;
  d->tracks[track].live = t;
  if (track < count && d->tracks[track].state != TRACK_UNSEEN) return;
  if (d->tracks[track].slice) return;
  green__slice_begin(d, track, d->first,
                     t == d->hub->hot.current    ? ITEM_RUN
                     : t->state == GREEN_BLOCKED ? ITEM_WAIT
                     : t->state == GREEN_NEW     ? ITEM_NEW
                                                 : ITEM_READY);
  if (t->state == GREEN_BLOCKED && !d->failed)
    d->items[d->count - 1].name = UINT16_MAX; /* by the thread itself */
}

static void draw_ends(struct green__drawing *d) {
  uint32_t i;
  draw_late_counts(d, UINT64_MAX);
  for (i = 0; i < d->track_count; i++) {
    green__slice_end(d, i, d->end);
    green__spans_close(d, i, d->end);
  }
  d->counts[COUNT_READY].number = d->hub->hot.ready;
  for (i = 0; i < COUNTS; i++)
    if (d->counts[i].number != UNCOUNTED)
      draw_count(d, (enum green__count_kind)i, d->end);
}

static uint32_t threads_at_first(const struct green__drawing *d) {
  uint64_t n = first_event(d->trace);
  uint32_t threads = green_live(d->hub);
  for (; n < d->trace->count; n++) {
    const struct green__event *e = event(d->trace, n);
    if (e->kind == GREEN__SPAWNED) threads--;
    if (e->kind == GREEN__ENDED) threads++;
  }
  return threads;
}

static void draw_all(struct green__drawing *d) {
  uint64_t n = first_event(d->trace);
  int i;
  d->first = d->trace->count ? event(d->trace, n)->ns : d->end;
  d->threads = threads_at_first(d);
  d->last = d->first;
  for (i = 0; i < COUNTS; i++)
    d->counts[i].number = d->counts[i].drawn = UNCOUNTED;
  green__track_of(d, 0);
  if (!d->failed) d->tracks[0].state = TRACK_OPEN;
  if (d->trace->count && event(d->trace, n)->kind == GREEN__POLLED)
    d->tracks[0].state = TRACK_UNSEEN;
  draw_beginning(d);
  count_threads(d, d->first);
  green_each(d->hub, draw_live, d);
  for (; n < d->trace->count && !d->failed; n++) draw(d, event(d->trace, n));
  draw_ends(d);
}
static int result(struct green__drawing *d) {
  int failed = d->failed;
  uint32_t i;
  for (i = 0; i < d->track_count; i++) {
    struct green__open *open;
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
  struct green__drawing *d = green__alloc(sizeof *d);
  if (!d) return UV_ENOMEM;
  d->hub = h;
  d->trace = trace;
  d->put = put;
  d->arg = arg;
  d->end = uv_hrtime();
  d->process = (uint32_t)syscall(SYS_gettid);
  draw_all(d);
  if (!d->failed) green__timeline_put(d);
  return result(d);
}
