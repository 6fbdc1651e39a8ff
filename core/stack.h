/* stack.h - C stacks: their memory, a hub's stock of them, and what the
 * process knows of them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_STACK_H
#define GREEN_STACK_H

#include <stdatomic.h>

#include "green_runtime.h"

/* exceptions.c: the two words of C++; NULL in a program without it. */
struct green__exceptions {
  void *caught;
  unsigned under_way;
};
struct green__exceptions *green__exceptions_here(void);
/* The OS thread's words are those of `to` now. */
struct green__stack;
void green__exceptions_swap(struct green__stack *from,
                            struct green__stack *to);

/* One C stack. The struct lies at the top of its own slot:
 *
 *   slot:  | guard 64 KB | usable ... grows down <-- high | struct | colour |
 *          base            low                              high   base + slot
 *
 * The colour is (index & 63) * 64 bytes, so that the tops of neighbouring
 * stacks do not share cache sets: 36 ns instead of 70 a switch at 1,000. */
struct green__stack {
  void *sp;                   /* context, while switched away */
  uint64_t *canary;           /* words below low, if nothing else guards it */
  void *user;                 /* the runtime's, while a thread is kept */
  void *nested;               /* the runtime's: see green_nested() */
  struct green_thread *owner; /* whom the overflow report names */
  struct green_thread *job;   /* the thread that a worker runs when switched
                                 to */
  struct green__stack *next, *prev; /* among the idle ones, hottest first */
  struct green_hub *hub;
  struct green__slab *slab; /* NULL: a single one */
  char *low, *high;         /* usable bytes [low, high) */
  uint8_t fresh;            /* context must be made before use */
  uint8_t more;             /* a switch has more to do: canary, exceptions */
  uint8_t blank;            /* has nothing that a trim would give back */
  uint32_t valgrind_id;
  void (*entry)(void *stack); /* the function of a fresh context; NULL: OS
                                 stack */
  struct green__stack *came;  /* who jumped here last (AddressSanitizer) */
  struct green__exceptions exceptions; /* while switched away */
  void *asan_fake;                     /* sanitizers' view of the stack */
  void *tsan_fiber;
};

struct green__slab {                  /* 64 stacks in one mmap */
  _Atomic(struct green__slab *) next; /* process-wide list, append-only */
  _Atomic(char *) base;       /* NULL: no memory, the record is spare */
  size_t size, slot;          /* bytes in all, bytes of a slot */
  uint32_t count, used, idle; /* slots; made into stacks; in the pool */
  _Atomic(struct green_hub *) hub;
  uint8_t guard;               /* enum green_guard of its stacks */
  struct green__slab *sibling; /* next of the same hub */
};

struct green__stacks {              /* a hub's stacks */
  struct green__stack *idle;        /* LIFO: the hottest first */
  struct green__stack *last_filled; /* of those with memory to give back */
  struct green__stack *spare; /* for clean-up, when nothing else is left */
  struct green__slab *slabs;  /* newest first */
  size_t size, slot;
  uint32_t total, max; /* without spares */
  uint32_t idle_count, filled;
  uint32_t spares, most_spares;
  uint32_t whole;         /* slabs of which all stacks are idle */
  enum green_guard guard; /* resolved: never AUTO */
};

/* stack.c. Limits come from the options; LUAGREEN_GUARD (madvise, mprotect,
 * canary) overrides the guard. 0 or UV_ENOTSUP. */
int green__stacks_init(struct green_hub *h, const struct green_options *o);
void green__stacks_free(struct green_hub *h, int keep_all);
/* Sets some aside for clean-up. 0 or UV_ENOMEM. */
int green__stacks_spares(struct green_hub *h);
/* Makes sure that the idle pool is not empty. 0 or UV_ENOMEM. Clean-up may go
 * beyond the limit, or take a spare. */
int green__stacks_reserve(struct green_hub *h, int cleans_up);
/* Takes a stack from the idle pool, which must not be empty. Its context is
 * ready to run `entry(stack)`, or is where its worker last stopped. */
struct green__stack *green__stack_take(struct green_hub *h,
                                       void (*entry)(void *stack));
void green__stack_put(struct green_hub *h, struct green__stack *s);
/* The same for a stack whose frames were abandoned: its next use starts afresh.
 */
void green__stack_left(struct green_hub *h, struct green__stack *s);
/* Gives the memory of about `most` idle stacks beyond `keep` back to the
 * system. Returns 1 if there is more to give back. */
int green__stacks_trim(struct green_hub *h, uint32_t keep, uint32_t most);
int green__stacks_surplus(const struct green_hub *h, uint32_t keep);
/* A stack for the hub itself, outside the pool, `size` usable bytes. */
struct green__stack *green__stack_single(struct green_hub *h, size_t size,
                                         void (*entry)(void *stack));
void green__stack_single_free(struct green__stack *s);
size_t green__stack_touched(const struct green__stack *s);
/* Aborts, naming the owner, if the stack's canary was overwritten. */
void green__canary_check(const struct green__stack *s);
static inline void green__stack_check(const struct green__stack *s) {
  if (green__unlikely(s->canary != NULL)) green__canary_check(s);
}
/* Switches stacks, telling the sanitizers; checks the canary. There `value` is
 * returned by the call that left; here, what the next such call passes. */
int green__jump(struct green__stack *from, struct green__stack *to, int value);
/* Describes the OS stack the caller runs on (sanitizers need it). */
void green__stack_adopt(struct green__stack *s);

/* global.c: the state of the process. */
/* A slab record without memory, listed and owned by h; NULL: no memory. It is
 * spare again once its base and then its hub are NULL. */
struct green__slab *green__global_slab(struct green_hub *h);
/* Takes mprotect guards (1 if granted), or gives them back (take < 0). */
int green__global_guard_budget(int take);
int green__global_forked(void); /* forks without exec since the start */
void green__global_init(void);
/* The number of the running OS thread, from its first hub on; a forked child
 * has another one. initial-exec: the default model of a shared object costs a
 * call of __tls_get_addr(), and the loader has 8 bytes to spare for objects
 * that are opened late, and as many for green_here. */
extern _Thread_local uint64_t green__os_thread
    __attribute__((tls_model("initial-exec")));
/* The slab that holds an address, or NULL. Async-signal-safe. */
struct green__slab *green__global_find(const void *address);
/* Reports on stderr which thread's stack overflowed; `how` ends the line.
 * Async-signal- safe. */
void green__global_report(const struct green__stack *s, const char *how);
/* The stack in slot i of a slab; the address of its struct. */
struct green__stack *green__slab_stack(const struct green__slab *slab,
                                       uint32_t i);
enum { GREEN__GUARD_SIZE = 65536, GREEN__TOP_SIZE = 8192 };

#endif
