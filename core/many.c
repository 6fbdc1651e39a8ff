/* many.c - waiting for any number of descriptors at once.
 *
 * A looker is no reader and no writer: it does not take what is there, it only
 * wants to know. So any number of threads may look at one descriptor, beside
 * the one that reads it, and all are woken by what they look for; who comes
 * first gets it, and the others look again. The nodes lie in the caller's
 * memory. Whatever wakes the thread unlinks one of them at most; the end of the
 * wait unlinks all others.
 *
 *   a looker is in f->lookers exactly from enlist() to the end of the wait;
 *   its descriptor is held, and counts as borrowed, until let_go()
 *
 * Green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fd.h"

struct many {
  struct green_many *fds;
  size_t n; /* linked */
};

static struct green_many *many_of(struct green_node *node) {
  return green__container(node, struct green_many, node);
}

struct green_node *green__many_first(struct green_fd *f, int events) {
  struct green_link *link = f->lookers.link.next;
  for (; link != &f->lookers.link; link = link->next) {
    struct green_node *node = (struct green_node *)link;
    if (many_of(node)->events & events) return node;
  }
  return NULL;
}

/* Any stack: what ends the wait calls it, perhaps while it goes through one of
 * the lists. So no descriptor is let go here. */
static void leave(struct green_hub *h, struct green_thread *t) {
  struct many *m = t->on;
  green_external(h, -(int)m->n);
  h->fd_waits -= (uint32_t)m->n;
  while (m->n > 0) {
    struct green_node *node = &m->fds[--m->n].node;
    if (node->link.next) green_list_remove(node);
  }
}

static const struct green_wait_kind many_kind = {"select", NULL, leave};

/* Opened, and watched for its events. */
static int hold(struct green_hub *h, struct green_many *one) {
  int r = green_fd_open(h, one->fd, &one->f);
  if (r < 0) {
    one->f = NULL;
    return r;
  }
  green__fd_borrow(h, one->f);
  if (one->f->closed) return UV_EBADF;
  return green__fd_want(h, one->f, one->events);
}

static void enlist(struct green_hub *h, struct green_many *one) {
  assert(!one->node.link.next);
  one->node.thread = h->hot.current;
  green_list_add(&one->f->lookers, &one->node);
}

/* What nobody waits for any more is not watched: its owner may close it. */
static void let_go(struct green_hub *h, struct green_many *one) {
  if (!one->f) return;
  if (one->f->closed) one->closed = 1;
  green__fd_give_back(one->f);
  if (one->f->refs - one->f->dirty > 1) { /* its owner has it open, too */
    if (one->events & GREEN_READABLE)
      green__fd_unwatch(h, one->f, GREEN_READABLE);
    if (one->events & GREEN_WRITABLE)
      green__fd_unwatch(h, one->f, GREEN_WRITABLE);
  }
  green_fd_release(h, one->f);
  one->f = NULL;
}

/* Holds all, or as many as can be; why not more. */
static int hold_all(struct green_hub *h, struct green_many *fds, size_t n,
                    size_t *held) {
  int r = 0;
  for (*held = 0; *held < n && r == 0; ++*held) {
    r = hold(h, &fds[*held]);
    if (r == UV_EBADF) fds[*held].closed = 1;
  }
  return r;
}

static int wait(struct green_hub *h, struct many *m, size_t n,
                uint64_t deadline) {
  size_t i;
  int r = green_wait_begin(h, &many_kind, m, NULL, deadline);
  if (r < 0) return r;
  for (i = 0; i < n; i++) enlist(h, &m->fds[i]);
  m->n = n;
  green_external(h, (int)n);
  h->fd_waits += (uint32_t)n;
  r = (int)green_keep(h);
  assert(m->n == 0);
  return r == GREEN_CLOSED ? 0 : green__result(h, r);
}

int green_fd_wait_many(struct green_hub *h, struct green_many *fds, size_t n,
                       uint64_t deadline) {
  struct many m = {.fds = fds};
  size_t held, i;
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  for (i = 0; i < n; i++) {
    fds[i].closed = 0;
    fds[i].f = NULL;
    fds[i].node.link.next = NULL;
  }
  if (deadline == 0) return UV_ETIMEDOUT;
  if ((r = green__enter(h)) < 0) return r;
  if ((r = green_keep_reserve(h)) < 0) return r;
  r = hold_all(h, fds, n, &held);
  if (r == UV_EBADF)
    r = 0; /* it was closed before there was a wait */
  else if (r == 0)
    r = wait(h, &m, n, deadline);
  while (held > 0) let_go(h, &fds[--held]);
  return r;
}
