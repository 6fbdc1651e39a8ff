/* borrowed.c - waits for descriptors that belong to others.
 *
 * A borrowed descriptor is watched during the call only, and its flags stay as
 * they are, so its owner may close it right after. An owner that closes it
 * earlier tells nobody, and the kernel is silent too. So while there are such
 * waits, the hub asks the kernel before it sleeps whether it still knows the
 * descriptors; waits for those that it does not know end with UV_EBADF. That
 * costs a system call for each, so it asks for a part of them every VERIFY_NS:
 * LEAST, or a PART of all if that is more.
 *
 * Any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fd.h"

enum { VERIFY_NS = 50000000, LEAST = 64, PART = 64 };

/* --- the hub's list of borrowed descriptors --- */

static void put_last(struct green_hub *h, struct green_fd *f) {
  struct green_link *first = &h->borrowed.link;
  f->borrowed.prev = first->prev;
  f->borrowed.next = first;
  first->prev->next = &f->borrowed;
  first->prev = &f->borrowed;
}

static void unlink_it(struct green_fd *f) {
  f->borrowed.prev->next = f->borrowed.next;
  f->borrowed.next->prev = f->borrowed.prev;
}

void green__fd_borrow(struct green_hub *h, struct green_fd *f) {
  if (f->borrowers++ > 0) return;
  h->borrowed_count++;
  put_last(h, f);
}

void green__fd_give_back(struct green_hub *h, struct green_fd *f) {
  if (--f->borrowers > 0) return;
  h->borrowed_count--;
  unlink_it(f);
}

/* All were looked at since anything ran, and could have closed one. Nobody has
 * to be told of those that are only kept. */
static int is_verified(const struct green_hub *h) {
  return green__list_empty(&h->borrowed) || h->fd_waits == 0 ||
         (h->switches == h->verified_switches && h->unverified == 0);
}

uint64_t green__borrowed_due(const struct green_hub *h) {
  return is_verified(h) ? GREEN_FOREVER : h->verified + VERIFY_NS;
}

/* How many to look at now. */
static uint32_t share(struct green_hub *h) {
  uint32_t n = h->borrowed_count / PART;
  if (h->switches != h->verified_switches) h->unverified = h->borrowed_count;
  if (n < LEAST) n = LEAST;
  return n < h->unverified ? n : h->unverified;
}

/* Descriptors that were looked at go to the end of the list. */
void green__borrowed_verify(struct green_hub *h) {
  uint32_t n;
  if (is_verified(h)) return;
  n = share(h);
  h->unverified -= n;
  h->verified = green__real(h);
  h->verified_switches = h->switches;
  for (; n > 0 && !green__list_empty(&h->borrowed); n--) {
    struct green_link *first = h->borrowed.link.next;
    struct green_fd *f = green__container(first, struct green_fd, borrowed);
    unlink_it(f);
    put_last(h, f);
    if (!f->closed) green__fd_verify(h, f);
  }
}

/* --- waiting --- */

int green_wait_fd(struct green_hub *h, int fd, int event, uint64_t deadline) {
  struct green_fd *f;
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  if (!green__is_event(event)) return UV_EINVAL;
  if (deadline == 0) return green__fd_look(fd, event);
  r = green_fd_open(h, fd, &f);
  if (r < 0) return r;
  green__fd_borrow(h, f);
  r = green_fd_wait(h, f, event, deadline);
  green__fd_give_back(h, f);
  if (r != UV_EBUSY) green__fd_unwatch(h, f, event);
  green_fd_release(h, f);
  return r;
}
