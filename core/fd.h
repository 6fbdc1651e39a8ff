/* fd.h - a watched descriptor, as fd.c and borrowed.c know it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_FD_H
#define GREEN_FD_H

#include "internal.h"

struct green_fd {
  struct green_hub *hub;
  struct green_fd *next_dirty;
  struct green_list reader, writable, turns;
  struct green_list lookers; /* of struct green_many, any number: many.c */
  struct green_thread *writer;
  struct green_room *room; /* is told of room to write; or NULL */
  struct last {            /* that waited to read, to write; and as what */
    struct green_thread *thread;
    const struct green_wait_kind *kind;
  } last[2];
  struct green_link borrowed; /* in the hub's list, while borrowers > 0 */
  uint32_t borrowers;         /* calls of green_wait_fd() under way */
  uint32_t refs;              /* openers, and one while it is dirty */
  uint32_t tag;               /* of the kernel's registration, if armed */
  int fd;
  uint8_t want, armed; /* UV_READABLE | UV_WRITABLE */
  uint8_t dirty, closed;
  uint8_t kept; /* the hub has a count of its own, until the number closes */
  uint8_t drained; /* the last read took all that there was */
};

/* Does the kernel still know it? If its number was closed, or belongs to
 * another file by now, all waits for it end (UV_EBADF) and it is closed. */
int green__fd_verify(struct green_hub *h, struct green_fd *f);
/* borrowed.c: a wait for a borrowed descriptor begins; it has ended. */
void green__fd_borrow(struct green_hub *h, struct green_fd *f);
void green__fd_give_back(struct green_hub *h, struct green_fd *f);
/* The hub goes on watching it when the openers have let it go; it counts as
 * borrowed, since its owner may close it without a word. */
void green__fd_keep(struct green_hub *h, struct green_fd *f);
/* Watches a direction for somebody who is about to wait. 0, or why not. */
int green__fd_want(struct green_hub *h, struct green_fd *f, int event);
/* A thread that waits for some of these events with many other descriptors, or
 * NULL. */
struct green_node *green__many_first(struct green_fd *f, int events);
/* Stops watching a direction that nobody waits for, at once. */
void green__fd_unwatch(struct green_hub *h, struct green_fd *f, int event);

#endif
