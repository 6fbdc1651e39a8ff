/* timer.c - deadlines.
 *
 * Owns the 4-ary heap of armed deadlines, earliest first; equal deadlines keep
 * the order in which they were armed. An owner is a thread (the limit of its
 * wait, or its start) or a green_timer, told apart by the lowest bit of the
 * pointer; either is in the heap exactly while its slot != 0.
 *
 * Any stack of the hub's OS thread. green__timers_fire() on the hub only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

static void set_slot(uintptr_t owner, uint32_t slot) {
  if (owner & 1)
    ((struct green_timer *)(owner & ~(uintptr_t)1))->slot = slot;
  else
    ((struct green_thread *)owner)->slot = slot;
}

static int before(const struct green__entry *a, const struct green__entry *b) {
  return a->deadline != b->deadline ? a->deadline < b->deadline
                                    : a->seq < b->seq;
}

static void put(struct green__heap *heap, uint32_t slot,
                struct green__entry e) {
  heap->at[slot] = e;
  set_slot(e.owner, slot);
}

/* Children of i are 4i-2 .. 4i+1, the parent is (i+2)/4; the root is 1. */
static void up(struct green__heap *heap, uint32_t slot,
               struct green__entry e) {
  while (slot > 1) {
    uint32_t parent = (slot + 2) / 4;
    if (!before(&e, &heap->at[parent])) break;
    put(heap, slot, heap->at[parent]);
    slot = parent;
  }
  put(heap, slot, e);
}

static void down(struct green__heap *heap, uint32_t slot,
                 struct green__entry e) {
  for (;;) {
    uint32_t child = 4 * slot - 2, least = slot, i;
    const struct green__entry *min = &e;
    for (i = child; i < child + 4 && i <= heap->count; i++)
      if (before(&heap->at[i], min)) min = &heap->at[least = i];
    if (least == slot) break;
    put(heap, slot, heap->at[least]);
    slot = least;
  }
  put(heap, slot, e);
}

/* --- room --- */

/* The last slots are for clean-up, which uses deadlines and must not fail when
 * memory is short. */
enum { FIRST_ROOM = 64, RESERVED = 16 };

static int set_room(struct green__heap *heap, uint32_t room) {
  struct green__entry *at =
      green__realloc(heap->at, (size_t)room * sizeof *at);
  if (!at) return UV_ENOMEM;
  heap->at = at;
  heap->room = room;
  return 0;
}

int green__heap_init(struct green_hub *h) {
  return set_room(&h->heap, FIRST_ROOM);
}

static int make_room(struct green_hub *h) {
  struct green__heap *heap = &h->heap;
  int r = set_room(heap, heap->room * 2);
  if (r < 0 && heap->count + 1 < heap->room && green__cleans_up(h)) return 0;
  return r;
}

int green__heap_surplus(const struct green_hub *h) {
  return h->heap.room > FIRST_ROOM && h->heap.count < h->heap.room / 8;
}

void green__heap_trim(struct green_hub *h) {
  while (green__heap_surplus(h))
    if (set_room(&h->heap, h->heap.room / 2) < 0) return;
}

/* --- adding and removing --- */

int green__heap_add(struct green_hub *h, uintptr_t owner, uint64_t deadline) {
  struct green__heap *heap = &h->heap;
  struct green__entry e = {deadline, heap->seq, owner};
  if (green__unlikely(heap->count + 1 + RESERVED >= heap->room)) {
    int r = make_room(h);
    if (r < 0) return r;
  }
  heap->seq++;
  up(heap, ++heap->count, e);
  if (h->options.drive != GREEN_DRIVE_MAIN && !h->in_batch &&
      heap->at[1].owner == owner)
    green__arm_timer(h); /* set from the host's stack: its loop must live */
  return 0;
}

void green__heap_remove(struct green_hub *h, uint32_t slot) {
  struct green__heap *heap = &h->heap;
  struct green__entry last = heap->at[heap->count];
  assert(slot >= 1 && slot <= heap->count);
  set_slot(heap->at[slot].owner, 0);
  heap->count--;
  if (slot > heap->count) return;
  if (slot > 1 && before(&last, &heap->at[(slot + 2) / 4]))
    up(heap, slot, last);
  else
    down(heap, slot, last);
}

static void fire(struct green_hub *h, uintptr_t owner) {
  struct green_thread *t = (struct green_thread *)owner;
  if (owner & 1) {
    struct green_timer *timer = (struct green_timer *)(owner - 1);
    timer->fire(h, timer);
  } else if (t->state == GREEN_NEW) {
    green__ready(h, t);
  } else {
    green_wake(h, t, GREEN_TIMEOUT);
  }
}

void green__timers_fire(struct green_hub *h, uint64_t now) {
  struct green__heap *heap = &h->heap;
  h->source = GREEN__BY_TIMER;
  while (heap->count && heap->at[1].deadline <= now) {
    uintptr_t owner = heap->at[1].owner;
    green__heap_remove(h, 1);
    fire(h, owner);
  }
  h->source = GREEN__BY_HOST;
}

int green_timer_start(struct green_hub *h, struct green_timer *timer,
                      uint64_t deadline) {
  if (!green__at_home(h)) return UV_EPERM;
  if (timer->slot) green__heap_remove(h, timer->slot);
  if (deadline == GREEN_FOREVER) return 0;
  return green__heap_add(h, (uintptr_t)timer | 1, deadline);
}

void green_timer_stop(struct green_hub *h, struct green_timer *timer) {
  if (timer->slot) green__heap_remove(h, timer->slot);
}

uint64_t green_timer_deadline(struct green_hub *h, uint32_t slot) {
  return slot ? h->heap.at[slot].deadline : GREEN_FOREVER;
}
