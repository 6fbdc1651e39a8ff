/* record.c - memory for the records of threads.
 *
 * Records are carved from slabs of 64 KB, aligned to their size so that a
 * record tells its slab, and by that its family. The slabs of a family are the
 * list of its threads: a record in use has an id, a free one has none. Slabs
 * with room have a list of their own; a free record is reused before a new one
 * is carved.
 *
 * A slab stays mapped until the hub is freed, because stale pointers into it
 * may be compared with live ones; one without threads may go over to another
 * family when its own is closed. A trim still gives the memory of slabs without
 * threads back.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

enum { SLAB_SIZE = 65536, HEADER = 64, KEEP_SLABS = 1, PAGE = 4096 };
enum { RECORDS = (SLAB_SIZE - HEADER) / sizeof(struct green_thread) };

struct green__record_slab {
  struct green_slab_head head;          /* family NULL: it is a spare one */
  struct green__record_slab *next;      /* all of the hub's */
  struct green__record_slab *next_own;  /* all of the family's, or spare */
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

static void add_room(struct green__record_slab *slab) {
  struct green_family *f = slab->head.family;
  slab->next_room = f->room;
  slab->has_room = 1;
  f->room = slab;
}

static struct green__record_slab *new_slab(struct green_hub *h) {
  struct green__record_slab *slab = h->spare_slabs;
  if (slab) {
    h->spare_slabs = slab->next_own;
    return slab;
  }
  slab = green__map_aligned(SLAB_SIZE);
  if (!slab) return NULL;
  slab->next = h->record_slabs;
  h->record_slabs = slab;
  return slab;
}

static void give_to(struct green_family *f, struct green__record_slab *slab) {
  slab->head.family = f;
  slab->next_own = f->slabs;
  f->slabs = slab;
}

static struct green__record_slab *more_room(struct green_family *f) {
  struct green__record_slab *slab = new_slab(f->hub);
  if (!slab) return NULL;
  assert(!slab->has_room && slab->used == 0);
  give_to(f, slab);
  add_room(slab);
  return slab;
}

/* The pages that it has touched, in bytes: most families have few threads. */
static long touched(const struct green__record_slab *slab) {
  enum { EACH = PAGE / sizeof(struct green_thread) };
  return (long)((slab->carved + EACH - 1) / EACH * PAGE);
}

static struct green_thread *carve(struct green__record_slab *slab) {
  long before = touched(slab);
  struct green_thread *t = &records(slab)[slab->carved++];
  if (touched(slab) > before) green__memory_count(PAGE);
  return t;
}

/* --- taking and giving back --- */

/* The slab has no free record: does it have room for another one? */
static void check_room(struct green_family *f,
                       struct green__record_slab *slab) {
  if (slab->carved < RECORDS) return;
  f->room = slab->next_room;
  slab->has_room = 0;
}

/* A spare slab may have free records already. */
struct green_thread *green__record_take(struct green_family *f) {
  struct green__record_slab *slab = f->room;
  struct green_thread *t;
  if (green__unlikely(!slab) && !(slab = more_room(f))) return NULL;
  if (green__likely((t = slab->free) != NULL)) {
    slab->free = t->user;
    if (slab->used++ == 0) f->hub->idle_records--;
    if (slab->free) return t;
  } else {
    t = carve(slab);
    slab->used++;
  }
  check_room(f, slab);
  return t;
}

void green__record_put(struct green_hub *h, struct green_thread *t) {
  struct green__record_slab *slab = slab_of(t);
  assert(slab->used > 0);
  t->id = 0;
  t->user = slab->free;
  slab->free = t;
  if (--slab->used == 0) h->idle_records++;
  if (green__unlikely(!slab->has_room)) add_room(slab);
}

int green_reserve(struct green_family *f) {
  struct green_thread *t = green__record_take(f);
  if (!t) return UV_ENOMEM;
  assert(t->id == 0);
  t->user = f->reserved;
  f->reserved = t;
  return 0;
}

/* The next green__record_take() finds this record, or another free one. */
void green_unreserve(struct green_family *f) {
  struct green_thread *t = f->reserved;
  f->reserved = t->user;
  green__record_put(f->hub, t);
}

static void make_spare(struct green_hub *h, struct green__record_slab *slab) {
  slab->head.family = NULL;
  slab->has_room = 0;
  slab->next_own = h->spare_slabs;
  h->spare_slabs = slab;
}

void green__records_leave(struct green_family *f) {
  struct green_hub *h = f->hub;
  struct green__record_slab *slab;
  while (f->reserved) green_unreserve(f);
  while ((slab = f->slabs)) {
    f->slabs = slab->next_own;
    if (slab->used == 0)
      make_spare(h, slab);
    else
      give_to(&h->lost, slab);
  }
  h->lost.live += f->live;
  f->room = NULL;
  f->live = 0;
}

/* --- all of them --- */

typedef void visit(struct green_thread *thread, void *arg);

static void each_in(struct green__record_slab *slab, visit *f, void *arg) {
  uint32_t i;
  for (i = 0; i < slab->carved; i++) {
    struct green_thread *t = &records(slab)[i];
    if (t->id && t->state < GREEN_DONE) f(t, arg);
  }
}

void green_each_of(struct green_hub *h, struct green_family *family, visit *f,
                   void *arg) {
  struct green__record_slab *slab = family ? family->slabs : h->host.slabs;
  for (; slab; slab = slab->next_own) each_in(slab, f, arg);
}

void green_each(struct green_hub *h, visit *f, void *arg) {
  struct green__record_slab *slab = h->record_slabs;
  for (; slab; slab = slab->next)
    if (slab->head.family != &h->lost) each_in(slab, f, arg);
}

/* Records of threads that live on own further memory. */
static void free_slab(struct green_hub *h, struct green__record_slab *slab) {
  uint32_t i;
  for (i = 0; i < slab->carved; i++)
    if (records(slab)[i].id) green__thread_free(h, &records(slab)[i]);
  green__memory_count(-touched(slab));
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
  green__memory_count(-touched(slab));
  slab->carved = 0;
  slab->free = NULL;
  h->idle_records--;
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
