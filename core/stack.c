/* stack.c - C stacks: where they lie, and how they are guarded.
 *
 * Owns a hub's slabs and its pool of idle stacks. A slab is one mapping of up
 * to 64 slots; a slot takes only address space until it is first used. Idle
 * stacks are LIFO: the first `filled` ones have memory that a trim would give
 * back, the others are blank but for their struct. The struct lies in the
 * stack's own slot and stays readable until the slab is unmapped; a trim unmaps
 * a slab when all its stacks are idle. A few stacks are set aside as spares,
 * for clean-up when no other stack is available.
 *
 * Any stack of the hub's OS thread; trim and free run only on the hub's stack
 * or the OS stack, as they must not run on a stack that they free.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "sanitizers.h"
#include "switch.h"

/* Pure Lua can use 440 KB in recursion through gsub when built with -O2, and
 * 1.1 MB without optimisation; sanitizers add to each frame. */
#if defined(__OPTIMIZE__) && !defined(ASAN) && !defined(TSAN)
#define DEFAULT_SIZE ((size_t)512 * 1024)
#else
#define DEFAULT_SIZE ((size_t)2048 * 1024)
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

enum {
  SLAB_STACKS = 64,
  FIRST_STACKS = 8, /* a small program never needs a whole slab */
  SPARES = 4,
  COLOURS = 64,
  LINE = 64,         /* of the cache */
  STRUCT_ROOM = 192, /* for struct green__stack, in whole lines */
  CANARY_WORDS = 128 /* 1 KB without a gap: the leftovers of smaller frames
                        cannot step over it */
};
#define CANARY 0x6e65657267617565u /* no address, no small number */

_Static_assert(sizeof(struct green__stack) <= STRUCT_ROOM, "struct too big");
_Static_assert((COLOURS - 1) * LINE + STRUCT_ROOM <= GREEN__TOP_SIZE,
               "no room for the colour");

static size_t page_size(void) {
  return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t n, size_t unit) {
  return (n + unit - 1) / unit * unit;
}

static char *page_of(const void *address) {
  return (char *)((uintptr_t)address & ~(uintptr_t)(page_size() - 1));
}

/* --------------------------------------------------------------- guards -- */

static int install_guard(char *at, size_t size, enum green_guard guard) {
  if (guard == GREEN_GUARD_MADVISE)
    return madvise(at, size, MADV_GUARD_INSTALL);
  if (guard == GREEN_GUARD_MPROTECT) return mprotect(at, size, PROT_NONE);
  return -1;
}

static int can_madvise(void) {
  size_t size = page_size();
  void *page = green__map(size);
  int r;
  if (!page) return 0;
  r = install_guard(page, size, GREEN_GUARD_MADVISE);
  green__unmap(page, size);
  return r == 0;
}

static enum green_guard wanted_guard(const struct green_options *o) {
  const char *name = getenv("LUAGREEN_GUARD");
  if (!name || !*name) return o->guard;
  if (strcmp(name, "madvise") == 0) return GREEN_GUARD_MADVISE;
  if (strcmp(name, "mprotect") == 0) return GREEN_GUARD_MPROTECT;
  if (strcmp(name, "canary") == 0) return GREEN_GUARD_CANARY;
  return o->guard;
}

static int choose_guard(struct green__stacks *p,
                        const struct green_options *o) {
  p->guard = wanted_guard(o);
  if (p->guard == GREEN_GUARD_AUTO)
    p->guard = can_madvise() ? GREEN_GUARD_MADVISE : GREEN_GUARD_MPROTECT;
  else if (p->guard == GREEN_GUARD_MADVISE && !can_madvise())
    return UV_ENOTSUP;
  return 0;
}

/* The words lie right below the stack, where the guard would be. */
static void set_canary(struct green__stack *s) {
  for (int i = 0; i < CANARY_WORDS; i++) s->canary[i] = CANARY;
}

/* The neighbour may be damaged by now, so the process cannot go on. */
void green__canary_check(const struct green__stack *s) {
  uint64_t changed = 0;
  for (int i = 0; i < CANARY_WORDS; i++) changed |= s->canary[i] ^ CANARY;
  if (green__likely(!changed)) return;
  green__global_report(s, ", found at a switch");
  abort();
}

/* --------------------------------------------------------------- switch -- */

void green__stack_adopt(struct green__stack *s) {
  adopt(s);
}

static __attribute__((noinline)) void do_more(struct green__stack *from,
                                              struct green__stack *to) {
  green__stack_check(from);
  if (from->hub->exceptions) green__exceptions_swap(from, to);
}

UNSEEN int green__jump(struct green__stack *from, struct green__stack *to,
                       int value) {
  if (green__unlikely(from->more)) do_more(from, to);
  leave(from, to);
  value = green__context_switch(&from->sp, to->sp, value);
  arrive(from);
  return value;
}

UNSEEN static void start(void *stack) {
  struct green__stack *s = stack;
  arrive(s);
  s->entry(s);
}

static void make_fresh(struct green__stack *s, void (*entry)(void *stack)) {
  clean(s);
  if (s->canary) set_canary(s);
  memset(&s->exceptions, 0, sizeof s->exceptions); /* of abandoned frames */
  s->entry = entry;
  s->sp = green__context_make(s->low, s->high, start, s);
  s->fresh = 0;
}

/* ---------------------------------------------------------------- slabs -- */

struct green__stack *green__slab_stack(const struct green__slab *slab,
                                       uint32_t i) {
  char *end = atomic_load(&slab->base) + (i + 1) * slab->slot;
  return (void *)(end - (i % COLOURS) * LINE - STRUCT_ROOM);
}

static void init_stack(struct green__stack *s, struct green_hub *h,
                       char *base) {
  memset(s, 0, sizeof *s);
  s->low = base + GREEN__GUARD_SIZE;
  s->high = (char *)s;
  s->hub = h;
  s->fresh = s->blank = 1;
  s->more = h->exceptions != NULL;
  tell_valgrind(s);
}

/* Tries half as much, and so on, if address space is short. */
static char *map_slots(size_t slot, uint32_t *count) {
  char *base = NULL;
  while (*count && !(base = green__map(*count * slot))) *count /= 2;
  return base;
}

/* How many stacks the next slab has. Clean-up exceeds the limit by a few
 * stacks. */
static uint32_t slab_count(const struct green__stacks *p) {
  uint32_t count = p->slabs ? SLAB_STACKS : FIRST_STACKS;
  if (p->total >= p->max) return FIRST_STACKS;
  return count < p->max - p->total ? count : p->max - p->total;
}

static int add_slab(struct green_hub *h) {
  struct green__stacks *p = &h->stacks;
  struct green__slab *slab = green__global_slab(h);
  uint32_t count = slab_count(p);
  char *base;
  if (!slab) return UV_ENOMEM;
  base = map_slots(p->slot, &count);
  if (!base) {
    atomic_store(&slab->hub, NULL);
    return UV_ENOMEM;
  }
#ifdef MADV_NOHUGEPAGE /* or one touch may commit 2 MB */
  madvise(base, count * p->slot, MADV_NOHUGEPAGE);
#endif
  slab->guard = (uint8_t)p->guard;
  if (p->guard == GREEN_GUARD_MPROTECT &&
      !green__global_guard_budget((int)count))
    slab->guard = GREEN_GUARD_CANARY;
  slab->slot = p->slot;
  slab->size = count * p->slot;
  slab->count = count;
  slab->used = slab->idle = 0;
  slab->sibling = p->slabs;
  p->slabs = slab;
  atomic_store(&slab->base, base);
  return 0;
}

/* The next unused slot, or NULL. Only the newest slab has any. */
static struct green__stack *carve(struct green_hub *h) {
  struct green__slab *slab = h->stacks.slabs;
  struct green__stack *s;
  char *base;
  if (!slab || slab->used == slab->count) return NULL;
  s = green__slab_stack(slab, slab->used);
  base = atomic_load(&slab->base) + slab->used * slab->slot;
  init_stack(s, h, base);
  s->slab = slab;
  if (install_guard(base, GREEN__GUARD_SIZE, slab->guard) != 0)
    s->canary = (uint64_t *)(void *)s->low - CANARY_WORDS;
  s->more |= s->canary != NULL;
  slab->used++;
  return s;
}

/* Returns a stack that was never used, or NULL. */
static struct green__stack *make_stack(struct green_hub *h) {
  struct green__stack *s = carve(h);
  return s || add_slab(h) < 0 ? s : carve(h);
}

static void drop_stack(struct green__stack *s) {
  untell_valgrind(s);
  forget(s);
  clean(s);
}

/* The order of these stores tells green__global_slab() when the record is
 * spare. */
static void drop_slab(struct green__slab *slab) {
  char *base = atomic_load(&slab->base);
  for (uint32_t i = 0; i < slab->used; i++)
    drop_stack(green__slab_stack(slab, i));
  if (slab->guard == GREEN_GUARD_MPROTECT)
    green__global_guard_budget(-(int)slab->count);
  atomic_store(&slab->base, NULL);
  green__unmap(base, slab->size);
  atomic_store(&slab->hub, NULL);
}

/* ----------------------------------------------------------- idle stacks -- */

static int is_whole(const struct green__slab *slab) {
  return slab->idle == slab->used;
}

static void pool_add(struct green__stacks *p, struct green__stack *s) {
  s->prev = NULL;
  s->next = p->idle;
  if (p->idle) p->idle->prev = s;
  p->idle = s;
  p->idle_count++;
  s->slab->idle++;
  if (is_whole(s->slab)) p->whole++;
  if (s->blank) return;
  if (p->filled++ == 0) p->last_filled = s;
}

static void pool_remove(struct green__stacks *p, struct green__stack *s) {
  if (s->prev)
    s->prev->next = s->next;
  else
    p->idle = s->next;
  if (s->next) s->next->prev = s->prev;
  p->idle_count--;
  if (is_whole(s->slab)) p->whole--;
  s->slab->idle--;
  if (s->blank) return;
  p->filled--;
  if (p->last_filled == s) p->last_filled = s->prev;
}

/* Gives all pages back but the one with the struct. The worker's frames are
 * lost, so the next use starts afresh. */
static void chill(struct green__stack *s) {
  char *from = s->canary ? page_of(s->canary) : s->low;
  forget(s);
  madvise(from, (size_t)(page_of(s) - from), MADV_DONTNEED);
  s->fresh = s->blank = 1;
}

static void chill_last(struct green__stacks *p) {
  struct green__stack *s = p->last_filled;
  assert(s && !s->blank && (!s->next || s->next->blank));
  chill(s);
  p->filled--;
  p->last_filled = s->prev;
}

/* --- what a trim gives back --- */

/* Is there a slab to give back that leaves `keep` idle stacks? */
static int has_surplus_slab(const struct green__stacks *p, uint32_t keep) {
  return p->whole > 0 && p->idle_count >= keep + SLAB_STACKS;
}

static void give_back(struct green__stacks *p, struct green__slab *slab) {
  for (uint32_t i = 0; i < slab->used; i++)
    pool_remove(p, green__slab_stack(slab, i));
  p->total -= slab->used;
  drop_slab(slab);
}

/* Returns how many stacks that were. */
static uint32_t give_back_slabs(struct green__stacks *p, uint32_t keep,
                                uint32_t most) {
  struct green__slab **at = &p->slabs, *slab;
  uint32_t n = 0;
  while (n < most && has_surplus_slab(p, keep) && (slab = *at)) {
    if (!is_whole(slab)) {
      at = &slab->sibling;
      continue;
    }
    *at = slab->sibling;
    n += slab->used;
    give_back(p, slab);
  }
  return n;
}

int green__stacks_surplus(const struct green_hub *h, uint32_t keep) {
  return h->stacks.filled > keep || has_surplus_slab(&h->stacks, keep);
}

int green__stacks_trim(struct green_hub *h, uint32_t keep, uint32_t most) {
  struct green__stacks *p = &h->stacks;
  uint32_t n = give_back_slabs(p, keep, most);
  for (; n < most && p->filled > keep; n++) chill_last(p);
  return green__stacks_surplus(h, keep);
}

/* ----------------------------------------------------------------- pool -- */

size_t green_stack_default(void) {
  return DEFAULT_SIZE;
}

static void add_spare(struct green__stacks *p, struct green__stack *s) {
  s->next = p->spare;
  p->spare = s;
  p->spares++;
}

int green__stacks_init(struct green_hub *h, const struct green_options *o) {
  struct green__stacks *p = &h->stacks;
  size_t page = page_size();
  memset(p, 0, sizeof *p);
  if (o->stack_size > SIZE_MAX / (4 * SLAB_STACKS)) return UV_ENOMEM;
  p->size = round_up(o->stack_size ? o->stack_size : DEFAULT_SIZE, page);
  p->slot = round_up(GREEN__GUARD_SIZE + p->size + GREEN__TOP_SIZE, page);
  p->max = o->max_stacks ? o->max_stacks : 131072;
  return choose_guard(p, o);
}

int green__stacks_spares(struct green_hub *h) {
  struct green__stacks *p = &h->stacks;
  p->most_spares = SPARES;
  while (p->spares < SPARES) {
    struct green__stack *s = make_stack(h);
    if (!s) return UV_ENOMEM;
    add_spare(p, s);
  }
  return 0;
}

/* With keep_all the slabs stay mapped for good, because threads that would not
 * end may have pointers into each other's stacks. */
void green__stacks_free(struct green_hub *h, int keep_all) {
  struct green__slab *slab = h->stacks.slabs;
  while (slab) {
    struct green__slab *next = slab->sibling;
    if (keep_all)
      atomic_store(&slab->hub, NULL);
    else
      drop_slab(slab);
    slab = next;
  }
  memset(&h->stacks, 0, sizeof h->stacks);
}

static struct green__stack *take_spare(struct green__stacks *p) {
  struct green__stack *s = p->spare;
  if (!s) return NULL;
  p->spare = s->next;
  p->spares--;
  return s;
}

int green__stacks_reserve(struct green_hub *h, int cleans_up) {
  struct green__stacks *p = &h->stacks;
  struct green__stack *s = NULL;
  if (p->idle) return 0;
  if (p->total < p->max || cleans_up) s = make_stack(h);
  if (!s && cleans_up) s = take_spare(p);
  if (!s) return UV_ENOMEM;
  p->total++;
  pool_add(p, s);
  return 0;
}

struct green__stack *green__stack_take(struct green_hub *h,
                                       void (*entry)(void *stack)) {
  struct green__stacks *p = &h->stacks;
  struct green__stack *s = p->idle;
  assert(s && s->hub == h && !s->owner);
  pool_remove(p, s);
  s->blank = 0;
  if (green__unlikely(s->fresh)) make_fresh(s, entry);
  return s;
}

/* The next stack that is put back replaces a spare that was used. */
void green__stack_put(struct green_hub *h, struct green__stack *s) {
  struct green__stacks *p = &h->stacks;
  assert(!s->blank && s->hub == h && s->slab);
  green__stack_check(s); /* while its owner is known */
  s->owner = NULL;
  if (green__likely(p->spares == p->most_spares || !p->idle)) {
    pool_add(p, s);
  } else {
    p->total--;
    add_spare(p, s);
  }
}

void green__stack_left(struct green_hub *h, struct green__stack *s) {
  forget(s);
  s->fresh = 1;
  s->nested = NULL;
  green__stack_put(h, s);
}

/* --------------------------------------------------------- single, sizes -- */

/* One guard by mprotect needs no budget. */
struct green__stack *green__stack_single(struct green_hub *h, size_t size,
                                         void (*entry)(void *stack)) {
  size_t slot = round_up(GREEN__GUARD_SIZE + size + STRUCT_ROOM, page_size());
  char *base = green__map(slot);
  struct green__stack *s;
  if (!base) return NULL;
  install_guard(base, GREEN__GUARD_SIZE, GREEN_GUARD_MPROTECT);
  s = (void *)(base + slot - STRUCT_ROOM);
  init_stack(s, h, base);
  make_fresh(s, entry);
  return s;
}

void green__stack_single_free(struct green__stack *s) {
  char *base = s->low - GREEN__GUARD_SIZE;
  drop_stack(s);
  green__unmap(base, (size_t)((char *)s + STRUCT_ROOM - base));
}

/* Counts page by page from the top, as most stacks have touched two or
 * three. */
size_t green__stack_touched(const struct green__stack *s) {
  size_t page = page_size(), touched = 0;
  unsigned char resident = 0;
  char *at;
  if (!s->low) return 0;
  for (at = page_of(s->high - 1); at >= s->low; at -= page) {
    if (mincore(at, page, (void *)&resident) != 0 || !(resident & 1)) break;
    touched += page;
  }
  return touched;
}
