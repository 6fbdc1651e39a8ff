/* guest.c - waiting for descriptors of strangers.
 *
 * It is watched during the call only, and its flags stay as they are, so that
 * its owner may close it right after. An owner that closes it earlier tells
 * nobody, and the kernel neither: so while such waits are, the kernel is asked
 * before the hub goes to sleep whether it still knows the descriptors, and
 * waits for those that it does not know end with UV_EBADF. That costs a system
 * call for each, and is done at most every VERIFY_NS.
 *
 * Any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fd.h"

enum { VERIFY_NS = 50000000 };

/* --- the hub's list of descriptors that are waited for in this way --- */

static void come(struct green_hub *h, struct green_fd *f) {
  struct green_link *first = &h->guests.link;
  if (f->guests++ > 0) return;
  f->guest.prev = first->prev;
  f->guest.next = first;
  first->prev->next = &f->guest;
  first->prev = &f->guest;
}

static void go(struct green_fd *f) {
  if (--f->guests > 0) return;
  f->guest.prev->next = f->guest.next;
  f->guest.next->prev = f->guest.prev;
}

/* Only what runs can close one: nothing did since the last look. */
static int nothing_ran(const struct green_hub *h) {
  return green__list_empty(&h->guests) || h->switches == h->verified_switches;
}

uint64_t green__guests_due(const struct green_hub *h) {
  return nothing_ran(h) ? GREEN_FOREVER : h->verified + VERIFY_NS;
}

void green__guests_verify(struct green_hub *h) {
  struct green_link *link = h->guests.link.next, *next;
  if (nothing_ran(h)) return;
  h->verified = green_now();
  h->verified_switches = h->switches;
  for (; link != &h->guests.link; link = next) {
    struct green_fd *f = green__container(link, struct green_fd, guest);
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
  come(h, f);
  r = green_fd_wait(h, f, event, deadline);
  go(f);
  if (r != UV_EBUSY) green__fd_unwatch(h, f, event);
  green_fd_release(h, f);
  return r;
}
