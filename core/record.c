/* record.c - memory for the records of threads.
 *
 * Records are carved from slabs of 64 KB, aligned to their size so that a
 * record tells its slab. The slabs are the list of all threads: a record in use
 * has an id, a free one has none. Slabs with room have a list of their own; a
 * free record is reused before a new one is carved.
 *
 * A slab stays mapped until the hub is freed, because stale pointers into it
 * may be compared with live ones. A trim still gives the memory of slabs
 * without threads back.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

enum { SLAB_SIZE = 65536, HEADER = 64, KEEP_SLABS = 1 };
enum { RECORDS = (SLAB_SIZE - HEADER) / sizeof(struct green_thread) };

struct green__record_slab {
  struct green__record_slab *next;      /* all of the hub's */
  struct green__record_slab *next_room; /* those with room */
  struct green_thread *free;            /* linked by `user` */
  uint32_t carved, used;
  int has_room; /* is in that list */
};

_Static_assert(sizeof(struct green__record_slab) <= HEADER, "header too big");
_Static_assert(sizeof(struct green_thread) == 2 * HEADER, "two cache lines");

static struct green_thread *records(struct green__record_slab *slab) {
  return (void *)((char *)slab + HEADER);
}

static struct green__record_slab *slab_of(struct green_thread *t) {
  return (void *)((uintptr_t)t & ~(uintptr_t)(SLAB_SIZE - 1));
}

/* Does it have memory that nobody needs? */
static int is_idle(const struct green__record_slab *slab) {
  return slab->used == 0 && slab->carved > 0;
}

static void add_room(struct green_hub *h, struct green__record_slab *slab) {
  slab->next_room = h->room;
  slab->has_room = 1;
  h->room = slab;
}

static struct green__record_slab *more_room(struct green_hub *h) {
  struct green__record_slab *slab = green__map_aligned(SLAB_SIZE);
  if (!slab) return NULL;
  slab->next = h->record_slabs;
  h->record_slabs = slab;
  add_room(h, slab);
  return slab;
}

static struct green_thread *carve(struct green__record_slab *slab) {
  if (slab->carved == 0) green__memory_count(SLAB_SIZE);
  return &records(slab)[slab->carved++];
}

/* --- taking and giving back --- */

/* The slab has no free record: does it have room for another one? */
static void check_room(struct green_hub *h, struct green__record_slab *slab) {
  if (slab->carved < RECORDS) return;
  h->room = slab->next_room;
  slab->has_room = 0;
}

static struct green_thread *take_new(struct green_hub *h) {
  struct green__record_slab *slab = h->room ? h->room : more_room(h);
  struct green_thread *t;
  if (!slab) return NULL;
  t = carve(slab);
  slab->used++;
  check_room(h, slab);
  return t;
}

struct green_thread *green__record_take(struct green_hub *h) {
  struct green__record_slab *slab = h->room;
  struct green_thread *t;
  if (green__unlikely(!slab || !slab->free)) return take_new(h);
  t = slab->free;
  slab->free = t->user;
  if (slab->used++ == 0) h->idle_records--;
  if (!slab->free) check_room(h, slab);
  return t;
}

void green__record_put(struct green_hub *h, struct green_thread *t) {
  struct green__record_slab *slab = slab_of(t);
  assert(slab->used > 0);
  t->id = 0;
  t->user = slab->free;
  slab->free = t;
  if (--slab->used == 0) h->idle_records++;
  if (green__unlikely(!slab->has_room)) add_room(h, slab);
}

int green_reserve(struct green_hub *h) {
  struct green_thread *t = green__record_take(h);
  if (!t) return UV_ENOMEM;
  assert(t->id == 0);
  t->user = h->reserved;
  h->reserved = t;
  return 0;
}

/* The next green__record_take() finds this record, or another free one. */
void green_unreserve(struct green_hub *h) {
  struct green_thread *t = h->reserved;
  h->reserved = t->user;
  green__record_put(h, t);
}

/* --- all of them --- */

void green_each(struct green_hub *h,
                void (*f)(struct green_thread *thread, void *arg), void *arg) {
  struct green__record_slab *slab;
  uint32_t i;
  for (slab = h->record_slabs; slab; slab = slab->next)
    for (i = 0; i < slab->carved; i++) {
      struct green_thread *t = &records(slab)[i];
      if (t->id && t->state < GREEN_DONE) f(t, arg);
    }
}

/* Records of threads that live on own further memory. */
static void free_slab(struct green_hub *h, struct green__record_slab *slab) {
  uint32_t i;
  for (i = 0; i < slab->carved; i++)
    if (records(slab)[i].id) green__thread_free(h, &records(slab)[i]);
  if (slab->carved) green__memory_count(-SLAB_SIZE);
  green__unmap(slab, SLAB_SIZE);
}

void green__records_free(struct green_hub *h) {
  struct green__record_slab *slab;
  while ((slab = h->record_slabs)) {
    h->record_slabs = slab->next;
    free_slab(h, slab);
  }
}

/* --- what a trim gives back --- */

/* All but the page with the header. */
static void give_back(struct green_hub *h, struct green__record_slab *slab) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (page < SLAB_SIZE)
    madvise((char *)slab + page, SLAB_SIZE - page, MADV_DONTNEED);
  slab->carved = 0;
  slab->free = NULL;
  h->idle_records--;
  green__memory_count(-SLAB_SIZE);
}

int green__records_surplus(const struct green_hub *h) {
  return h->idle_records > KEEP_SLABS;
}

int green__records_trim(struct green_hub *h, uint32_t most) {
  struct green__record_slab *slab = h->record_slabs;
  for (; slab && most && green__records_surplus(h); slab = slab->next)
    if (is_idle(slab)) give_back(h, slab), most--;
  return green__records_surplus(h);
}
