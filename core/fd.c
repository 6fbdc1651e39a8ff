/* fd.c - readiness of descriptors.
 *
 * There is one green_fd for each descriptor number in use, in a table by
 * number. The first wait for a direction makes the kernel watch it, and the
 * waiter gets the error if that fails. The kernel then watches between waits,
 * too ("armed"), because starting and stopping around each wait cost two thirds
 * of the throughput. A direction that becomes ready while nobody waits for it
 * is disarmed before the next poll.
 *
 * Nobody tells the hub when a descriptor is closed behind its back. The hub
 * notices when it next asks the kernel to change a watch, or when the number
 * comes in again as a new descriptor. Then it closes the old green_fd, and the
 * waiters get an error.
 *
 * One thread may wait to read. Writers take turns: `writer` has the write side
 * for a whole send, the others queue in `turns`. Threads that only look whether
 * something is ready, with many other descriptors, are all woken (many.c).
 *
 * Any stack; green__fd_event() only wakes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "fd.h"

static void drop(struct green_fd *f) {
  if (--f->refs == 0) green__free(f);
}

static void mark_dirty(struct green_fd *f) {
  if (f->dirty || f->want == f->armed) return;
  f->dirty = 1;
  f->next_dirty = f->hub->dirty_fds;
  f->hub->dirty_fds = f;
  f->refs++;
}

static struct green_list *list_of(struct green_fd *f, int event) {
  return event == GREEN_READABLE ? &f->reader : &f->writable;
}

/* --- what the kernel watches --- */

static void disarmed(struct green_hub *h, struct green_fd *f) {
  if (f->armed) h->armed_fds--;
  f->armed = 0;
  f->tag = 0;
}

/* f may be freed before they run, so they must not find it in `on`. */
static void end_waits(struct green_fd *f, struct green_list *list) {
  struct green_thread *t;
  while ((t = green_wake_first(f->hub, list, GREEN_CLOSED)))
    if (t->on == f) t->on = NULL;
}

/* Ends all waits for it and allows no more. The number is free; f is, too, if
 * nobody holds it. */
static void retire(struct green_hub *h, struct green_fd *f) {
  assert(!f->closed && !f->armed && h->fds[f->fd] == f);
  f->closed = 1;
  h->fds[f->fd] = NULL;
  if (f->writer && f->writer->on == f) f->writer->on = NULL;
  f->writer = NULL;
  f->room = NULL;
  end_waits(f, &f->reader);
  end_waits(f, &f->writable);
  end_waits(f, &f->turns);
  green_wake_all(h, &f->lookers, GREEN_CLOSED);
  if (!f->kept) return;
  f->kept = 0;
  green__fd_give_back(h, f);
  drop(f);
}

void green__fd_keep(struct green_hub *h, struct green_fd *f) {
  if (f->kept) return;
  f->kept = 1;
  f->refs++;
  green__fd_borrow(h, f);
}

/* The kernel does not know it any more: the number was closed, and may belong
 * to another file by now. */
static void lose(struct green_hub *h, struct green_fd *f) {
  disarmed(h, f);
  retire(h, f);
}

static int arm_first(struct green_hub *h, struct green_fd *f, int want) {
  uint32_t tag = ++h->epoll.tag ? h->epoll.tag : ++h->epoll.tag;
  int r = green__epoll_add(h, f->fd, tag, want);
  if (r == UV_ENOSPC || r == UV_ENOMEM) h->refused++;
  if (r < 0) return r;
  f->tag = tag;
  h->armed_fds++;
  return 0;
}

/* Makes the kernel watch just these directions. UV_EBADF: the descriptor is
 * lost, whether or not the number is open again. */
static int arm(struct green_hub *h, struct green_fd *f, int want) {
  int r;
  assert(!f->closed);
  if (!f->armed)
    r = want ? arm_first(h, f, want) : 0;
  else if (want)
    r = green__epoll_change(h, f->fd, f->tag, want);
  else
    r = green__epoll_remove(h, f->fd);
  /* Unknown to the kernel, not open, or of a kind that cannot be watched. */
  if (r < 0 && f->armed && r != UV_ENOMEM) {
    lose(h, f);
    return UV_EBADF;
  }
  if (r < 0) return r;
  if (!want) disarmed(h, f);
  f->armed = (uint8_t)want;
  return 0;
}

int green__fd_verify(struct green_hub *h, struct green_fd *f) {
  return f->armed ? arm(h, f, f->armed) : 0;
}

int green__fd_want(struct green_hub *h, struct green_fd *f, int event) {
  int want = f->want | event, r;
  if (green__unlikely(event & ~f->armed)) {
    r = arm(h, f, want);
    if (r < 0) return r;
  }
  f->want = (uint8_t)want;
  return 0;
}

static void reconcile(struct green_hub *h, struct green_fd *f) {
  f->dirty = 0;
  if (!f->closed && f->want != f->armed) arm(h, f, f->want);
}

void green__fds_reconcile(struct green_hub *h) {
  struct green_fd *f;
  while ((f = h->dirty_fds)) {
    h->dirty_fds = f->next_dirty;
    reconcile(h, f);
    drop(f);
  }
}

void green__fd_unwatch(struct green_hub *h, struct green_fd *f, int event) {
  if (f->closed || !green__list_empty(list_of(f, event))) return;
  if (event == GREEN_WRITABLE && f->room) return;
  if (green__many_first(f, event)) return;
  f->want &= (uint8_t)~event;
  if (f->want != f->armed) arm(h, f, f->want);
}

/* --- what the kernel tells --- */

/* Was it woken but has not run yet? A thread that has left the wait keeps `on`
 * while it is in the ready queue again, but with another kind. */
static int on_its_way(const struct green_fd *f, const struct last *last) {
  const struct green_thread *t = last->thread;
  return t && t->on == f && t->kind == last->kind && t->state == GREEN_READY;
}

/* All that look for it, each with all its places in the list. */
static int tell_lookers(struct green_fd *f, int event) {
  struct green_node *node;
  int n;
  for (n = 0; (node = green__many_first(f, event)); n++)
    green_wake_node(f->hub, node, GREEN_WOKEN);
  return n;
}

/* Returns whether a layer waited for room and was told. */
static int tell_room(struct green_fd *f) {
  struct green_room *room = f->room;
  f->room = NULL;
  if (room) room->ready(f->hub, f, room);
  return room != NULL;
}

/* Wakes the waiter, or stops watching if there is none. With 1,000 busy
 * connections most waiters are still on their way when the hub polls; disarming
 * those cost half of the throughput. */
static void ready(struct green_fd *f, int event) {
  int told = !green__list_empty(&f->lookers) && tell_lookers(f, event) > 0;
  if (event == UV_WRITABLE && tell_room(f)) told = f->room != NULL;
  if (green_wake_first(f->hub, list_of(f, event), GREEN_WOKEN) || told) return;
  if (!on_its_way(f, &f->last[event == UV_WRITABLE]))
    f->want &= (uint8_t)~event;
}

int green__fd_event(struct green_hub *h, int fd, uint32_t tag, int events) {
  struct green_fd *f = (uint32_t)fd < h->fds_room ? h->fds[fd] : NULL;
  if (!f || f->tag != tag) return 0;
  h->source_fd = fd;
  if (events & UV_READABLE) ready(f, UV_READABLE);
  if (events & UV_WRITABLE) ready(f, UV_WRITABLE);
  mark_dirty(f);
  return 1;
}

/* A new list has no registrations. If one cannot be made again, the waits end:
 * the waiters look, wait again, and get the error. */
static void arm_again(struct green_hub *h, struct green_fd *f) {
  int want = f->want;
  disarmed(h, f);
  if (!want) return;
  if (arm_first(h, f, want) < 0) {
    f->want = 0;
    green_wake_all(h, &f->reader, GREEN_WOKEN);
    green_wake_all(h, &f->writable, GREEN_WOKEN);
    green_wake_all(h, &f->lookers, GREEN_WOKEN);
    return;
  }
  f->armed = (uint8_t)want;
}

int green__fds_renew(struct green_hub *h) {
  uint32_t fd;
  int r = green__epoll_renew(h);
  if (r < 0) return r;
  for (fd = 0; fd < h->fds_room; fd++)
    if (h->fds[fd] && h->fds[fd]->armed) arm_again(h, h->fds[fd]);
  return 0;
}

/* --- opening and closing --- */

static int make_room(struct green_hub *h, uint32_t fd) {
  uint32_t room = h->fds_room ? h->fds_room : 64;
  struct green_fd **fds;
  if (fd < h->fds_room) return 0;
  while (room <= fd) room *= 2;
  fds = green__realloc(h->fds, room * sizeof *fds);
  if (!fds) return UV_ENOMEM;
  memset(fds + h->fds_room, 0, (room - h->fds_room) * sizeof *fds);
  h->fds = fds;
  h->fds_room = room;
  return 0;
}

static struct green_fd *make(struct green_hub *h, int fd) {
  struct green_fd *f = green__alloc(sizeof *f);
  if (!f) return NULL;
  f->hub = h;
  f->fd = fd;
  f->refs = 1;
  green_list_init(&f->reader);
  green_list_init(&f->writable);
  green_list_init(&f->turns);
  green_list_init(&f->lookers);
  return f;
}

int green_fd_open(struct green_hub *h, int fd, struct green_fd **out) {
  struct green_fd *f;
  int r;
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  /* Keeps a wild number from growing the table; others fail at the first
   * wait. */
  if ((uint32_t)fd >= h->fds_room && fcntl(fd, F_GETFD) < 0) return -errno;
  if ((r = make_room(h, (uint32_t)fd)) < 0) return r;
  if (h->fds[fd]) green__fd_verify(h, h->fds[fd]);
  if ((f = h->fds[fd]))
    f->refs++;
  else if (!(f = h->fds[fd] = make(h, fd)))
    return UV_ENOMEM;
  *out = f;
  return 0;
}

static void shut(struct green_hub *h, struct green_fd *f) {
  if (f->closed) return;
  if (!green__at_home(h)) { /* a child shares the parent's epoll */
    f->closed = 1;
    return;
  }
  if (f->armed) {
    green__epoll_remove(h, f->fd);
    disarmed(h, f);
  }
  retire(h, f);
}

void green_fd_close(struct green_hub *h, struct green_fd *f) {
  shut(h, f);
  drop(f);
}

void green_fd_release(struct green_hub *h, struct green_fd *f) {
  if (f->refs - f->dirty == 1) shut(h, f); /* the last opener's */
  drop(f);
}

void green_fd_forget(struct green_hub *h, int fd) {
  if (!green__at_home(h) || fd < 0 || (uint32_t)fd >= h->fds_room) return;
  if (h->fds[fd]) shut(h, h->fds[fd]);
}

/* The openers cannot release their counts when the hub is gone. */
void green__fds_close_all(struct green_hub *h) {
  uint32_t fd;
  green__fds_reconcile(h);
  for (fd = 0; fd < h->fds_room; fd++) {
    struct green_fd *f = h->fds[fd];
    if (!f) continue;
    f->kept = 0;
    shut(h, f);
    green__free(f);
  }
  green_list_init(&h->borrowed);
}

int green_fd_number(const struct green_fd *f) {
  return f->fd;
}

uint32_t green_fd_refused(struct green_hub *h) {
  return h->refused;
}

int green_fd_check(struct green_hub *h, struct green_fd *f) {
  return f->closed ? UV_EBADF : green__fd_verify(h, f);
}

int green_fd_is_closed(const struct green_fd *f) {
  return f->closed;
}

int green_fd_when_room(struct green_hub *h, struct green_fd *f,
                       struct green_room *room) {
  int r;
  if (f->closed) return UV_EBADF;
  r = room ? green__fd_want(h, f, GREEN_WRITABLE) : 0;
  if (r == 0) f->room = room;
  return r;
}

/* --- waiting --- */

static const struct green_wait_kind read_kind = {"readable", NULL,
                                                 green_fd_leave};
static const struct green_wait_kind write_kind = {"writable", NULL,
                                                  green_fd_leave};
static const struct green_wait_kind turn_kind = {"turn to write",
                                                 green_fd_turn_undo, NULL};

struct green_thread *green_fd_reader(struct green_fd *f) {
  struct green_thread *t = green_list_first(&f->reader);
  return t || !on_its_way(f, &f->last[0]) ? t : f->last[0].thread;
}

static void one_more(struct green_hub *h) {
  h->external++;
  h->fd_waits++;
}

static void one_less(struct green_hub *h) {
  h->external--;
  h->fd_waits--;
}

void green_fd_leave(struct green_hub *h, struct green_thread *t) {
  (void)t;
  one_less(h);
}

/* 0 if the current thread may wait for the event, and be the only one. */
static int may_wait(struct green_hub *h, struct green_fd *f, int event) {
  if (f->closed) return UV_EBADF;
  if (!green__list_empty(list_of(f, event))) return UV_EBUSY;
  return green__fd_want(h, f, event);
}

int green_fd_link(struct green_hub *h, struct green_fd *f, int event,
                  struct green_node *node) {
  int r = may_wait(h, f, event);
  if (r < 0) return r;
  node->thread = h->hot.current;
  green_list_add(list_of(f, event), node);
  one_more(h);
  return 0;
}

void green_fd_unlink(struct green_hub *h, struct green_fd *f,
                     struct green_node *node) {
  (void)f;
  if (node->link.next) green_list_remove(node);
  one_less(h);
}

int green_fd_wait_begin(struct green_hub *h, struct green_fd *f, int event,
                        uint64_t deadline,
                        const struct green_wait_kind *kind) {
  struct last *last = &f->last[event == GREEN_WRITABLE];
  int r = may_wait(h, f, event);
  if (r < 0) return r;
  if (!kind) kind = event == GREEN_READABLE ? &read_kind : &write_kind;
  r = green_wait_begin(h, kind, f, list_of(f, event), deadline);
  if (r < 0) return r;
  last->thread = h->hot.current;
  last->kind = kind;
  one_more(h);
  return 0;
}

static int keep(struct green_hub *h, int r) {
  return r < 0 ? r : green__result(h, (int)green_keep(h));
}

int green__fd_look(int fd, int event) {
  struct pollfd p = {fd, event == GREEN_READABLE ? POLLIN : POLLOUT, 0};
  if (fd < 0) return UV_EBADF; /* which poll() passes over */
  if (poll(&p, 1, 0) <= 0) return UV_ETIMEDOUT;
  return p.revents & POLLNVAL ? UV_EBADF : 0;
}

int green_fd_wait(struct green_hub *h, struct green_fd *f, int event,
                  uint64_t deadline) {
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  if (!green__is_event(event)) return UV_EINVAL;
  if (deadline == 0)
    return f->closed ? UV_EBADF : green__fd_look(f->fd, event);
  if ((r = green__enter(h)) < 0) return r;
  if (green__passed(h, deadline)) return green_fd_wait(h, f, event, 0);
  if ((r = green_keep_reserve(h)) < 0) return r;
  r = green_fd_wait_begin(h, f, event, deadline, NULL);
  if (r == UV_EPERM) return 0; /* epoll's word for files: always ready */
  return keep(h, r);
}

/* --- turns to write --- */

int green_fd_write_try(struct green_hub *h, struct green_fd *f) {
  if (f->closed) return UV_EBADF;
  if (f->writer == NULL) f->writer = h->hot.current;
  return f->writer == h->hot.current ? 0 : UV_EAGAIN;
}

int green_fd_turn_begin(struct green_hub *h, struct green_fd *f,
                        uint64_t deadline,
                        const struct green_wait_kind *kind) {
  if (f->closed) return UV_EBADF;
  return green_wait_begin(h, kind ? kind : &turn_kind, f, &f->turns, deadline);
}

int green_fd_write_begin(struct green_hub *h, struct green_fd *f,
                         uint64_t deadline) {
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline > 0 && (r = green__enter(h)) < 0) return r;
  r = green_fd_write_try(h, f);
  if (r != UV_EAGAIN) return r;
  if (green__passed(h, deadline)) return UV_ETIMEDOUT;
  if ((r = green_keep_reserve(h)) < 0) return r;
  return keep(h, green_fd_turn_begin(h, f, deadline, NULL));
}

void green_fd_write_end(struct green_hub *h, struct green_fd *f) {
  if (f->closed || f->writer != h->hot.current) return;
  f->writer = green_wake_first(h, &f->turns, GREEN_WOKEN);
}

void green_fd_turn_undo(struct green_hub *h, struct green_thread *t) {
  struct green_fd *f = t->on; /* NULL: closed */
  if (f && f->writer == t)
    f->writer = green_wake_first(h, &f->turns, GREEN_WOKEN);
}
