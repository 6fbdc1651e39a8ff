/* versions.c - programs and libraries of different age.
 *
 * A program may run with a newer library than it was compiled for. So a public
 * struct tells its size, or its caller does, and only grows at its end. Fields
 * that the other side does not know are 0 for it.
 *
 * Any stack, any OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"

/* A wild size would have us read a program's stack. */
enum { LARGEST = 4096 };

uint32_t green_version(void) {
  return GREEN_VERSION_NUMBER;
}

static size_t lesser(size_t a, size_t b) {
  return a < b ? a : b;
}

void green__give_sized(void *to, size_t size, const void *from, size_t known) {
  memset(to, 0, size);
  memcpy(to, from, lesser(size, known));
}

/* A field that this library does not know asks for what it cannot do. */
static int asks_for_more(const void *from, size_t size, size_t known) {
  const char *bytes = from;
  for (; known < size; known++)
    if (bytes[known]) return 1;
  return 0;
}

int green__take_sized(void *to, size_t known, const void *from, size_t size,
                      size_t least) {
  if (size < least || size > LARGEST) return UV_EINVAL;
  if (asks_for_more(from, size, known)) return UV_EINVAL;
  memset(to, 0, known);
  memcpy(to, from, lesser(size, known));
  return 0;
}
