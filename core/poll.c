/* poll.c - poll(2) for green threads.
 *
 * For libraries that tell their caller which descriptors they wait for. What is
 * ready is asked of the system, before the wait and after it; the hub watches
 * the descriptors only in between, as somebody who looks (many.c), so they may
 * belong to anybody, and any number of threads may wait for the same.
 *
 * Green threads only; without a wait any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>

#include "internal.h"

/* As many need no memory. */
enum { FEW = 8 };

static const struct green_wait_kind poll_kind = {"poll", NULL,
                                                 green_set_leave};

/* How many are ready now, a code, or UV_ETIMEDOUT. */
static int look(struct pollfd *fds, size_t n) {
  int r;
  do r = poll(fds, (nfds_t)n, 0);
  while (r < 0 && errno == EINTR);
  if (r < 0) return -errno;
  return r ? r : UV_ETIMEDOUT;
}

static int is_waited_for(const struct pollfd *p) {
  return p->fd >= 0 && p->events;
}

/* How many descriptors to wait for, or UV_EINVAL. */
static int64_t count(const struct pollfd *fds, size_t n) {
  int64_t waits = 0;
  size_t i;
  if (n > INT32_MAX) return UV_EINVAL;
  for (i = 0; i < n; i++) {
    if (!is_waited_for(&fds[i])) continue;
    if (fds[i].events & ~(POLLIN | POLLOUT)) return UV_EINVAL;
    waits++;
  }
  return waits;
}

static void fill(struct green_set *set, const struct pollfd *fds, size_t n) {
  size_t i;
  set->n = set->held = set->linked = 0;
  for (i = 0; i < n; i++) {
    struct green_many *one = &set->fds[set->n];
    if (!is_waited_for(&fds[i])) continue;
    *one = (struct green_many){.fd = fds[i].fd};
    if (fds[i].events & POLLIN) one->events |= GREEN_READABLE;
    if (fds[i].events & POLLOUT) one->events |= GREEN_WRITABLE;
    set->n++;
  }
}

static int wait_once(struct green_hub *h, struct green_set *set,
                     uint64_t deadline) {
  int r = green_keep_reserve(h);
  if (r == 0) r = green_set_begin(h, set, deadline, &poll_kind);
  if (r < 0) return r;
  r = green__result(h, (int)green_keep(h));
  green_set_end(h, set);
  return r;
}

/* Another thread may have taken what woke this one, so it looks again. */
static int wait_for(struct green_hub *h, struct green_set *set,
                    struct pollfd *fds, size_t n, uint64_t deadline) {
  int r, ready;
  do {
    fill(set, fds, n);
    r = wait_once(h, set, deadline);
    if (r < 0 && r != UV_EBADF && r != UV_ETIMEDOUT) return r;
    ready = look(fds, n);
  } while (r == 0 && ready == UV_ETIMEDOUT);
  return r < 0 && ready == UV_ETIMEDOUT ? r : ready;
}

static int wait_for_many(struct green_hub *h, struct pollfd *fds, size_t n,
                         size_t waits, uint64_t deadline) {
  struct green_many few[FEW];
  struct green_set set = {.fds = few};
  int r;
  if (waits > FEW) set.fds = green__realloc(NULL, waits * sizeof *set.fds);
  if (!set.fds) return UV_ENOMEM;
  r = wait_for(h, &set, fds, n, deadline);
  if (set.fds != few) green__free(set.fds);
  return r;
}

int green_poll(struct green_hub *h, struct pollfd *fds, size_t n,
               uint64_t deadline) {
  int64_t waits = count(fds, n);
  int r;
  if (waits < 0) return (int)waits;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline == 0) return look(fds, n);
  if ((r = green__enter(h)) < 0) return r;
  r = look(fds, n);
  if (r != UV_ETIMEDOUT || green__passed(h, deadline)) return r;
  return wait_for_many(h, fds, n, (size_t)waits, deadline);
}
