/* many.c - waiting for any number of descriptors at once.
 *
 * A looker is no reader and no writer: it does not take what is there, it only
 * wants to know. So any number of threads may look at one descriptor, beside
 * the one that reads it, and all are woken by what they look for; the first to
 * come gets it, and the others look again. All nodes lie in the caller's
 * memory. The waker unlinks one of them at most; the end of the wait unlinks
 * all others.
 *
 *   fds[0 .. held)     have their green_fd, counted; it is the caller's own, or
 *                      counts as borrowed
 *   fds[0 .. linked)   are in the list of lookers of it: all, while the thread
 *                      waits, else none
 *
 * Begun on a green thread; the rest on any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fd.h"

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

/* The caller's own stays watched between two waits; its end tells us. */
static int hold_own(struct green_hub *h, struct green_many *one) {
  one->own->refs++;
  one->f = one->own;
  return one->f->closed ? UV_EBADF : green__fd_want(h, one->f, one->events);
}

/* Opened, and watched for its events. */
static int hold(struct green_hub *h, struct green_many *one) {
  int r;
  if (one->own) return hold_own(h, one);
  r = green_fd_open(h, one->fd, &one->f);
  if (r < 0) {
    one->f = NULL;
    return r;
  }
  green__fd_borrow(h, one->f);
  return one->f->closed ? UV_EBADF : green__fd_want(h, one->f, one->events);
}

/* Stops watching a descriptor that nobody waits for: its owner may close it. */
static void give_back(struct green_hub *h, struct green_many *one) {
  green__fd_give_back(h, one->f);
  if (one->events & GREEN_READABLE)
    green__fd_unwatch(h, one->f, GREEN_READABLE);
  if (one->events & GREEN_WRITABLE)
    green__fd_unwatch(h, one->f, GREEN_WRITABLE);
}

static void let_go(struct green_hub *h, struct green_many *one) {
  if (!one->f) return;
  if (one->f->closed) one->closed = 1;
  if (!one->own) give_back(h, one);
  green_fd_release(h, one->f);
  one->f = NULL;
}

/* Holds all, or as many as can be; why not more. */
static int hold_all(struct green_hub *h, struct green_set *set) {
  int r = 0;
  while (set->held < set->n && r == 0) {
    struct green_many *one = &set->fds[set->held++];
    one->closed = 0;
    one->node.link.next = NULL;
    r = hold(h, one);
    if (r == UV_EBADF) one->closed = 1;
  }
  return r;
}

static void link_all(struct green_hub *h, struct green_set *set) {
  assert(set->linked == 0 && set->held == set->n);
  for (; set->linked < set->n; set->linked++) {
    struct green_many *one = &set->fds[set->linked];
    one->node.thread = h->hot.current;
    green_list_add(&one->f->lookers, &one->node);
  }
  h->external += (uint32_t)set->n;
  h->fd_waits += (uint32_t)set->n;
}

int green_set_begin(struct green_hub *h, struct green_set *set,
                    uint64_t deadline, const struct green_wait_kind *kind) {
  int r;
  assert(set->held == 0 && set->linked == 0);
  if (!green__at_home(h)) return UV_EPERM;
  r = hold_all(h, set);
  if (r == 0) r = green_wait_begin(h, kind, set, NULL, deadline);
  if (r == 0)
    link_all(h, set);
  else
    green_set_end(h, set);
  return r;
}

/* The waker may be on its way through one of the lists, so this must not free a
 * green_fd. */
void green_set_leave(struct green_hub *h, struct green_thread *t) {
  struct green_set *set = t->on;
  h->external -= (uint32_t)set->linked;
  h->fd_waits -= (uint32_t)set->linked;
  while (set->linked > 0) {
    struct green_node *node = &set->fds[--set->linked].node;
    if (node->link.next) green_list_remove(node);
  }
}

void green_set_end(struct green_hub *h, struct green_set *set) {
  assert(set->linked == 0);
  while (set->held > 0) let_go(h, &set->fds[--set->held]);
}
