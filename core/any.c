/* any.c - waiting for one of several descriptors.
 *
 * The thread has a node in the list of each descriptor. The nodes lie on its
 * stack, which it keeps. A waker unlinks at most one of them; the end of the
 * wait unlinks all others.
 *
 * Green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

struct any {
  struct green_fd *const *fds;
  struct green_node nodes[GREEN_MOST_FDS];
  int n;     /* linked */
  int fired; /* the one by which the thread was woken; -1: none */
};

/* A node that is unlinked already is the one that fired. */
static void unlink_all(struct green_hub *h, struct any *a) {
  while (a->n > 0) {
    int i = --a->n;
    if (!a->nodes[i].link.next) a->fired = i;
    green_fd_unlink(h, a->fds[i], &a->nodes[i]);
  }
}

static void leave(struct green_hub *h, struct green_thread *t) {
  unlink_all(h, t->on);
}

static const struct green_wait_kind any_kind = {"any descriptor", NULL, leave};

static int link_all(struct green_hub *h, struct any *a, int n, int event) {
  int i;
  for (i = 0; i < n; i++) {
    int r = green_fd_link(h, a->fds[i], event, &a->nodes[i]);
    if (r < 0) {
      unlink_all(h, a);
      return r;
    }
    a->n++;
  }
  return 0;
}

static int look_at_all(struct green_fd *const *fds, int n, int event) {
  int i;
  for (i = 0; i < n; i++) {
    int closed = green_fd_is_closed(fds[i]);
    int r = closed ? UV_EBADF : green__fd_look(green_fd_number(fds[i]), event);
    if (r != UV_ETIMEDOUT) return r < 0 ? r : i;
  }
  return UV_ETIMEDOUT;
}

int green_fd_wait_any(struct green_hub *h, struct green_fd *const *fds, int n,
                      int event, uint64_t deadline) {
  struct any a = {.fds = fds, .fired = -1};
  int r;
  if (n < 1 || n > GREEN_MOST_FDS || !green__is_event(event)) return UV_EINVAL;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline == 0) return look_at_all(fds, n, event);
  if ((r = green__enter(h)) < 0) return r;
  if (green__passed(h, deadline)) return look_at_all(fds, n, event);
  if ((r = green_keep_reserve(h)) < 0) return r;
  if ((r = link_all(h, &a, n, event)) < 0) return r;
  r = green_wait_begin(h, &any_kind, &a, NULL, deadline);
  if (r < 0) {
    unlink_all(h, &a);
    return r;
  }
  r = green__result(h, (int)green_keep(h));
  assert(a.n == 0); /* whatever ended the wait has unlinked all */
  if (r < 0) return r;
  assert(a.fired >= 0);
  return a.fired;
}
