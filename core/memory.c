/* memory.c - where the core's memory comes from.
 *
 * The C allocator, and mmap for stacks. A test may make the n-th next call
 * fail; that costs one predictable branch and is always compiled in, so that
 * what is tested is what is shipped.
 *
 * Any stack, any OS thread; not in a signal handler.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/mman.h>

#include "internal.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_STACK
#define MAP_STACK 0
#endif

static _Atomic long fail_in; /* calls until one fails; 0: never */

void green__fail_alloc(long n) {
  atomic_store(&fail_in, n > 0 ? n : 0);
}

static int fails(void) {
  if (green__likely(atomic_load_explicit(&fail_in, memory_order_relaxed) <= 0))
    return 0;
  return atomic_fetch_sub(&fail_in, 1) == 1;
}

void *green__alloc(size_t size) {
  return fails() ? NULL : calloc(1, size);
}

void *green__realloc(void *ptr, size_t size) {
  return fails() ? NULL : realloc(ptr, size);
}

void green__free(void *ptr) {
  free(ptr);
}

/* Address space only: the kernel finds a page when it is first touched, and
 * NORESERVE keeps a strict accountant from counting the rest. */
void *green__map(size_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
  void *base;
  if (fails()) return NULL;
  base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  return base == MAP_FAILED ? NULL : base;
}

void green__unmap(void *base, size_t size) {
  munmap(base, size);
}
