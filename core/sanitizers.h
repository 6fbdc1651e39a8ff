/* sanitizers.h - tells ASan, TSan and valgrind of stacks and switches.
 *
 * A build has one of three backends with the same functions, the last of them
 * empty. Macros that cost nothing outside of valgrind tell it. For stack.c
 * only.
 *
 *   leave() .... called right before a switch
 *   arrive() ... first thing after it, on the stack arrived at
 *   forget() ... what ran on this stack never goes on
 *   clean() .... the stack, or its memory, gets another use
 *   adopt() .... the caller's stack is one of the OS
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_SANITIZERS_H
#define GREEN_SANITIZERS_H

#include "internal.h"

#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define TSAN 1
#include <sanitizer/tsan_interface.h>
#endif
#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#define INLINE __attribute__((always_inline))

#if defined(ASAN)

/* The functions between leave() and arrive() have no frames of ASan's. */
#define UNSEEN __attribute__((no_sanitize_address))

INLINE UNSEEN static inline void leave(struct green__stack *from,
                                       struct green__stack *to) {
  to->came = from;
  __sanitizer_start_switch_fiber(&from->asan_fake, to->low,
                                 (size_t)(to->high - to->low));
}

/* Only ASan knows the bounds of the OS stack, and it tells which stack left. */
INLINE UNSEEN static inline void arrive(struct green__stack *s) {
  const void *low;
  size_t size;
  __sanitizer_finish_switch_fiber(s->asan_fake, &low, &size);
  if (s->came->entry) return;
  s->came->low = (char *)low;
  s->came->high = (char *)low + size;
}

/* Leaving a fake stack for good frees it, so pretend to leave it. */
UNSEEN static inline void forget(struct green__stack *s) {
  const void *low;
  size_t size;
  void *mine, *fake = s->asan_fake;
  if (!fake) return;
  s->asan_fake = NULL;
  __sanitizer_start_switch_fiber(&mine, s->low, (size_t)(s->high - s->low));
  __sanitizer_finish_switch_fiber(fake, &low, &size);
  __sanitizer_start_switch_fiber(NULL, low, size);
  __sanitizer_finish_switch_fiber(mine, NULL, NULL);
}

static inline void clean(struct green__stack *s) {
  __asan_unpoison_memory_region(s->low, (size_t)(s->high - s->low));
}

static inline void adopt(struct green__stack *s) {
  s->low = s->high = NULL; /* see arrive() */
}

#elif defined(TSAN)

/* ThreadSanitizer pops what it pushed when a function returns, so the switch
 * is called by the very function that announces it. */
#define UNSEEN __attribute__((no_sanitize_thread))

INLINE UNSEEN static inline void leave(struct green__stack *from,
                                       struct green__stack *to) {
  (void)from;
  if (!to->tsan_fiber) to->tsan_fiber = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(to->tsan_fiber, 0);
}

INLINE UNSEEN static inline void arrive(struct green__stack *s) {
  (void)s;
}

static inline void forget(struct green__stack *s) {
  if (s->tsan_fiber) __tsan_destroy_fiber(s->tsan_fiber);
  s->tsan_fiber = NULL;
}

static inline void clean(struct green__stack *s) {
  (void)s;
}

static inline void adopt(struct green__stack *s) {
  s->tsan_fiber = __tsan_get_current_fiber();
}

#else

#define UNSEEN

INLINE static inline void leave(struct green__stack *from,
                                struct green__stack *to) {
  (void)from;
  (void)to;
}

INLINE static inline void arrive(struct green__stack *s) {
  (void)s;
}

static inline void forget(struct green__stack *s) {
  (void)s;
}

static inline void clean(struct green__stack *s) {
  (void)s;
}

static inline void adopt(struct green__stack *s) {
  (void)s; /* its bounds are not needed */
}

#endif

/* Valgrind takes a jump of the stack pointer for a huge frame, unless it knows
 * both stacks. Tell it once for each mapping, not for each thread. */
#ifdef VALGRIND_STACK_REGISTER

static inline void tell_valgrind(struct green__stack *s) {
  s->valgrind_id = VALGRIND_STACK_REGISTER(s->low, s->high);
}

static inline void untell_valgrind(struct green__stack *s) {
  VALGRIND_STACK_DEREGISTER(s->valgrind_id);
}

#else

static inline void tell_valgrind(struct green__stack *s) {
  (void)s;
}

static inline void untell_valgrind(struct green__stack *s) {
  (void)s;
}

#endif

#endif
