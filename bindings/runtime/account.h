/* account.h - what is counted of a state, or of a sandbox in it, beside its
 * threads and memory.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_ACCOUNT_H
#define LG_ACCOUNT_H

#include <stdint.h>

enum lg_count {
  LG_TIMERS,      /* timeouts in force */
  LG_DESCRIPTORS, /* of sockets, pipes and files of the library's */
  LG_ITEMS,       /* values in queues that are counted */
  LG_COROUTINES,  /* of a sandbox's; those of a state are its allocator's */
  LG_COUNTS
};

/* Counts go down from the limit, so a step and the look at the limit are one.
 * No limit is LG_PLENTY. */
#define LG_PLENTY (INT64_MAX / 2)

struct lg_terms;
struct lg_account {
  int64_t left[LG_COUNTS];
  /* Of a sandbox: the limits of time of its threads, in ns, beside those of the
   * state; 0: none. */
  uint64_t slice, stretch, life;
  uint8_t timed;            /* it has any */
  struct lg_terms *terms;   /* of their lives; NULL: they have no limit */
  uint32_t most[LG_COUNTS]; /* 0: no limit */
  uint32_t users;           /* of a sandbox's: that, and what is counted */
  struct lg_account *after, **before; /* of all sandboxes' of the state */
};

#endif
