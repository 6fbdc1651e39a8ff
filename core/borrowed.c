/* borrowed.c - waits for descriptors that belong to others.
 *
 * A borrowed descriptor is watched during the call only, and its flags stay as
 * they are, so its owner may close it right after. An owner that closes it
 * earlier tells nobody, and the kernel is silent too. So while there are such
 * waits, the hub asks the kernel before it sleeps whether it still knows the
 * descriptors; waits for those that it does not know end with UV_EBADF. That
 * costs a system call for each, at most every VERIFY_NS.
 *
 * Any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fd.h"

enum { VERIFY_NS = 50000000 };

/* --- the hub's list of borrowed descriptors --- */

void green__fd_borrow(struct green_hub *h, struct green_fd *f) {
  struct green_link *first = &h->borrowed.link;
  if (f->borrowers++ > 0) return;
  f->borrowed.prev = first->prev;
  f->borrowed.next = first;
  first->prev->next = &f->borrowed;
  first->prev = &f->borrowed;
}

void green__fd_give_back(struct green_fd *f) {
  if (--f->borrowers > 0) return;
  f->borrowed.prev->next = f->borrowed.next;
  f->borrowed.next->prev = f->borrowed.prev;
}

/* Nothing ran since the last look, so nothing can have been closed. */
static int nothing_ran(const struct green_hub *h) {
  return green__list_empty(&h->borrowed) ||
         h->switches == h->verified_switches;
}

uint64_t green__borrowed_due(const struct green_hub *h) {
  return nothing_ran(h) ? GREEN_FOREVER : h->verified + VERIFY_NS;
}

void green__borrowed_verify(struct green_hub *h) {
  struct green_link *link = h->borrowed.link.next, *next;
  if (nothing_ran(h)) return;
  h->verified = green__real(h);
  h->verified_switches = h->switches;
  for (; link != &h->borrowed.link; link = next) {
    struct green_fd *f = green__container(link, struct green_fd, borrowed);
    next = link->next;
    if (!f->closed) green__fd_verify(h, f);
  }
}

/* --- waiting --- */

int green_wait_fd(struct green_hub *h, int fd, int event, uint64_t deadline) {
  struct green_fd *f;
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline == 0) return green__fd_look(fd, event);
  r = green_fd_open(h, fd, &f);
  if (r < 0) return r;
  green__fd_borrow(h, f);
  r = green_fd_wait(h, f, event, deadline);
  green__fd_give_back(f);
  if (r != UV_EBUSY) green__fd_unwatch(h, f, event);
  green_fd_release(h, f);
  return r;
}
