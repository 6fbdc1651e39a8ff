/* memory.c - the core's memory.
 *
 * The C allocator, and mmap for stacks and records. libuv's memory is not
 * counted: its allocator belongs to the process, and may be the host's. A test
 * may make calls fail; that costs one predictable branch and is always compiled
 * in, so that tests run the code that is shipped.
 *
 * Any stack, any OS thread; not in a signal handler.
 *
 * SPDX-License-Identifier: MIT
 */
#include <malloc.h>
#include <sys/mman.h>

#include "internal.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_STACK
#define MAP_STACK 0
#endif

static _Atomic long fail_after; /* calls that do not fail yet */
static _Atomic long fail_times; /* calls that fail then; 0: none */

void green__fail_allocs(long n, long times) {
  atomic_store(&fail_times, 0);
  atomic_store(&fail_after, n - 1);
  atomic_store(&fail_times, times);
}

void green__fail_alloc(long n) {
  green__fail_allocs(n, n > 0);
}

static int fails(void) {
  if (green__likely(atomic_load_explicit(&fail_times, memory_order_relaxed) <=
                    0))
    return 0;
  if (atomic_fetch_sub(&fail_after, 1) > 0) return 0;
  return atomic_fetch_sub(&fail_times, 1) > 0;
}

/* --- the heap --- */

static _Atomic long in_use; /* bytes, of all hubs of the process */

void green__memory_count(long bytes) {
  atomic_fetch_add_explicit(&in_use, bytes, memory_order_relaxed);
}

size_t green__memory(void) {
  long bytes = atomic_load_explicit(&in_use, memory_order_relaxed);
  return bytes > 0 ? (size_t)bytes : 0;
}

static long size_of(void *ptr) {
  return ptr ? (long)malloc_usable_size(ptr) : 0;
}

void *green__alloc(size_t size) {
  void *ptr = fails() ? NULL : calloc(1, size);
  green__memory_count(size_of(ptr));
  return ptr;
}

void *green__realloc(void *ptr, size_t size) {
  long before = size_of(ptr);
  void *now = fails() ? NULL : realloc(ptr, size);
  if (now) green__memory_count(size_of(now) - before);
  return now;
}

void green__free(void *ptr) {
  green__memory_count(-size_of(ptr));
  free(ptr);
}

/* --- pages --- */

/* Takes address space only: the kernel provides a page when it is first
 * touched, and NORESERVE keeps strict overcommit accounting from counting the
 * rest. */
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

void *green__map_aligned(size_t size) {
  char *base = green__map(2 * size);
  size_t before;
  if (!base) return NULL;
  before = (size_t)(-(uintptr_t)base & (size - 1));
  if (before) green__unmap(base, before);
  green__unmap(base + before + size, size - before);
  return base + before;
}
