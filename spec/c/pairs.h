/* pairs.h - for C tests of waits for many descriptors: a hub, and pairs of
 * connected sockets, whose near ends are waited for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_PAIRS_H
#define GREEN_PAIRS_H

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/green.h"

enum { MS = 1000000, N = 200 };

static struct green_hub *hub;
static int pairs[N][2];

static inline void open_pairs(void) {
  int i;
  if (green_open(&hub, NULL) < 0) abort();
  for (i = 0; i < N; i++)
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i])) abort();
}

/* Returns what closing the hub does. */
static inline int close_pairs(void) {
  int i;
  for (i = 0; i < N; i++) close(pairs[i][0]), close(pairs[i][1]);
  return green_close(hub);
}

/* It runs until it waits. */
static inline struct green_thread *spawn(green_fn fn, void *arg) {
  struct green_thread *t;
  if (green_spawn(hub, &t, fn, arg) < 0) abort();
  green_yield(hub);
  return t;
}

static inline int join(struct green_thread *t) {
  int result = -1;
  if (green_join(hub, t, green_in(UINT64_C(5000) * MS), &result) < 0)
    return -1;
  return result;
}

static inline void put(int i) {
  if (write(pairs[i][1], "x", 1) != 1) abort();
}

static inline void take(int i) {
  char c;
  if (read(pairs[i][0], &c, 1) != 1) abort();
}

#endif
