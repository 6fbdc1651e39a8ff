/* timeline.h - a picture of a trace, as the files know it that draw it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_TIMELINE_H
#define GREEN_TIMELINE_H

#include "internal.h"

enum green__item_kind {
  ITEM_NOTHING, /* a slice of no length */
  ITEM_RUN,
  ITEM_WAIT,
  ITEM_READY,
  ITEM_NEW,
  ITEM_POLL,
  ITEM_SPAN,
  ITEM_SPAN_END,
  ITEM_FLOW,
  ITEM_FLOW_END,
  ITEM_INSTANT, /* name: enum green_strike, + 8 if delivered */
  ITEM_MARK,
  ITEM_COUNTER,
  ITEM_COUNT, /* why: enum green__count_kind; arg: the number */
  ITEM_ASK,   /* why: enum green__task_kind */
  ITEM_ANSWER
};

struct green__item {
  uint64_t ts, arg; /* arg: duration of a slice; text; number of a flow */
  uint64_t on; /* ITEM_RUN: its waker, ITEM_WAIT: on what, ITEM_NEW: parent */
  uint32_t track;
  uint8_t kind, why;
  uint16_t name; /* of a wait's kind; ITEM_RUN: the state in which it ended */
  struct green__text *text; /* ITEM_WAIT: the stack */
};

enum green__count_kind { COUNT_READY, COUNT_MEMORY, COUNT_THREADS, COUNTS };

struct green__count {
  uint64_t number, drawn, at; /* at: when it was drawn */
};

enum green__track_state { TRACK_UNSEEN, TRACK_OPEN, TRACK_OVER };

struct green__track {
  uint32_t id, row; /* row: its number in the picture */
  uint8_t state;
  uint32_t slice;           /* item of the one under way, + 1 */
  uint64_t last;            /* when the one before ended */
  uint32_t flow;            /* of the wake-up that it has not answered */
  uint64_t waker;           /* and by whom */
  uint8_t waker_kind;       /* enum green__source */
  struct green__text *name; /* of one that has ended */
  struct green_thread *live;
  struct green__open *spans; /* innermost first */
};

struct green__open {
  struct green__text *text;
  size_t item; /* of its beginning */
  struct green__open *outer;
};

struct green__drawing {
  struct green_hub *hub;
  struct green__trace *trace;
  uint64_t first, end; /* time of the first event, and of now */
  struct green__item *items;
  size_t count, room;
  struct green__track *tracks;
  uint32_t track_count, track_room;
  uint32_t *index, index_mask; /* by id: place in tracks, + 1 */
  uint32_t flows, threads;
  struct green__count counts[COUNTS];
  uint64_t last;       /* time of the event before */
  uint32_t process;    /* the number of the hub's OS thread */
  uint64_t least_span; /* the first whose beginning is in the ring */
  int failed, unsorted, unseen;
  struct green__item none; /* where there is no memory for one */
  void (*put)(void *arg, const char *text, size_t length);
  void *arg;
  size_t length;
  char text[65536];
};

/* timeline_rows.c: the picture's rows. Without memory they set `failed`. */

/* The number of the track of that thread; the first is the hub's. */
uint32_t green__track_of(struct green__drawing *d, uint32_t id);
/* The place in the index that holds its number, + 1, or would hold it. */
uint32_t green__track_place(const struct green__drawing *d, uint32_t id);
/* A new last item. Never NULL. */
struct green__item *green__item_add(struct green__drawing *d, uint64_t ts,
                                    enum green__item_kind kind,
                                    uint32_t track);
struct green__item *green__slice_begin(struct green__drawing *d,
                                       uint32_t track, uint64_t ts,
                                       enum green__item_kind kind);
void green__slice_end(struct green__drawing *d, uint32_t track, uint64_t ts);
/* Goes on with a slice of the same kind: a span begins or ends here. */
void green__slice_cut(struct green__drawing *d, uint32_t track,
                      const struct green__item *former, uint64_t ts);
void green__span_open(struct green__drawing *d, uint32_t track, uint64_t ts,
                      struct green__text *text);
/* Closes it; the inner ones that stay open are closed and opened again. */
void green__span_close(struct green__drawing *d, uint32_t track, uint64_t ts,
                       uint64_t id);
void green__spans_close(struct green__drawing *d, uint32_t track, uint64_t ts);

/* timeline_text.c: passes the finished picture on, or sets `failed`. */
void green__timeline_put(struct green__drawing *d);

#endif
