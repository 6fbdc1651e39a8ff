/* timeline_rows.c - the rows of a picture of a trace: their slices and spans.
 *
 * An item is added when it begins, its duration when it ends, so that items are
 * in the order of time nearly by themselves. A row has one slice at a time and
 * spans that nest. Without memory a call sets `failed` and draws into `none`.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "timeline.h"

/* --- tracks --- */

uint32_t green__track_place(const struct green__drawing *d, uint32_t id) {
  uint32_t i = id * 2654435761u & d->index_mask;
  while (d->index[i] && d->tracks[d->index[i] - 1].id != id)
    i = (i + 1) & d->index_mask;
  return i;
}

static int grow_tracks(struct green__drawing *d) {
  uint32_t room = d->track_room ? d->track_room * 2 : 256, i;
  struct green__track *tracks =
      green__realloc(d->tracks, room * sizeof *tracks);
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
    d->index[green__track_place(d, d->tracks[i].id)] = i + 1;
  return 1;
}

/* Its number; the first is the hub's. */
uint32_t green__track_of(struct green__drawing *d, uint32_t id) {
  uint32_t place;
  if (d->track_count == d->track_room && !grow_tracks(d)) {
    d->failed = 1;
    return 0;
  }
  place = green__track_place(d, id);
  if (!d->index[place]) {
    struct green__track *t = &d->tracks[d->track_count];
    memset(t, 0, sizeof *t);
    t->id = id;
    d->index[place] = ++d->track_count;
  }
  return d->index[place] - 1;
}

/* --- items --- */

struct green__item *green__item_add(struct green__drawing *d, uint64_t ts,
                                    enum green__item_kind kind,
                                    uint32_t track) {
  struct green__item *item;
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

/* An arrow that ends 1 ns after the slice's beginning has no room in it. */
static void drop_arrow(struct green__drawing *d, uint32_t after) {
  struct green__item *next = &d->items[after];
  if (after < d->count && next->kind == ITEM_FLOW_END &&
      next->track == next[-1].track)
    next->kind = ITEM_NOTHING;
}

void green__slice_end(struct green__drawing *d, uint32_t track, uint64_t ts) {
  struct green__track *t = &d->tracks[track];
  struct green__item *slice;
  if (!t->slice || d->failed) return;
  slice = &d->items[t->slice - 1];
  assert(ts >= slice->ts);
  slice->arg = ts - slice->ts;
  t->last = ts;
  if (slice->arg < 2) drop_arrow(d, t->slice);
  if (!slice->arg) slice->kind = ITEM_NOTHING;
  t->slice = 0;
}

struct green__item *green__slice_begin(struct green__drawing *d,
                                       uint32_t track, uint64_t ts,
                                       enum green__item_kind kind) {
  struct green__item *slice;
  green__slice_end(d, track, ts);
  slice = green__item_add(d, ts, kind, track);
  d->tracks[track].slice = (uint32_t)d->count;
  return slice;
}

/* Goes on with a slice of the same kind: a span begins or ends here. */
void green__slice_cut(struct green__drawing *d, uint32_t track,
                      const struct green__item *former, uint64_t ts) {
  struct green__item copy = *former;
  copy.ts = ts;
  copy.arg = 0;
  if (copy.kind == ITEM_RUN)
    copy.why = 0; /* who woke it, the first one tells */
  *green__slice_begin(d, track, ts, (enum green__item_kind)copy.kind) = copy;
}

/* --- spans --- */

/* A new piece of it begins. */
static void span_push(struct green__drawing *d, uint32_t track, uint64_t ts,
                      struct green__open *open) {
  struct green__track *t = &d->tracks[track];
  open->outer = t->spans;
  t->spans = open;
  green__item_add(d, ts, ITEM_SPAN, track)->text = open->text;
  open->item = d->count - 1;
}

/* The innermost one ends, or a piece of it: a piece of no length goes. */
static struct green__open *span_pop(struct green__drawing *d, uint32_t track,
                                    uint64_t ts) {
  struct green__track *t = &d->tracks[track];
  struct green__open *open = t->spans;
  t->spans = open->outer;
  if (d->failed) return open;
  if (d->items[open->item].ts == ts)
    d->items[open->item].kind = ITEM_NOTHING;
  else
    green__item_add(d, ts, ITEM_SPAN_END, track)->text = open->text;
  return open;
}

void green__span_open(struct green__drawing *d, uint32_t track, uint64_t ts,
                      struct green__text *text) {
  struct green__open *open = green__alloc(sizeof *open);
  if (!open) {
    d->failed = 1;
    return;
  }
  open->text = text;
  span_push(d, track, ts, open);
}

/* Closes it; the inner ones that stay open are closed and opened again. */
void green__span_close(struct green__drawing *d, uint32_t track, uint64_t ts,
                       uint64_t id) {
  struct green__track *t = &d->tracks[track];
  struct green__open *open = t->spans, *inner = NULL;
  while (open && open->text->id != id) open = open->outer;
  if (!open) return;
  while ((open = span_pop(d, track, ts))->text->id != id) {
    open->outer = inner;
    inner = open;
  }
  green__free(open);
  while ((open = inner)) {
    inner = open->outer;
    span_push(d, track, ts, open);
  }
}

void green__spans_close(struct green__drawing *d, uint32_t track,
                        uint64_t ts) {
  while (d->tracks[track].spans) green__free(span_pop(d, track, ts));
}
