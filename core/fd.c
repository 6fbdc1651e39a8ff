/* fd.c - readiness of descriptors.
 *
 * One green_fd, and one uv_poll_t, for each descriptor number in use; kept
 * armed between waits, because starting and stopping the poll around each wait
 * costs three epoll_ctl calls and two thirds of the throughput. A direction
 * that becomes ready while nobody waits for it is disarmed. Changes of what is
 * wanted are collected and told to libuv once, before the next poll.
 *
 * One thread may wait to read. Writers take turns: `writer` has the write side
 * for a whole send, the others queue in `turns`.
 *
 * Callbacks run on the hub and only wake. The rest: any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "internal.h"

struct green_fd {
  uv_poll_t poll;
  struct green_hub *hub;
  struct green_fd *next_dirty;
  struct green_list reader, writable, turns;
  struct green_thread *writer;
  struct last { /* that waited to read, to write; and as what */
    struct green_thread *thread;
    const struct green_wait_kind *kind;
  } last[2];
  uint32_t refs; /* openers, and one for libuv until the close callback */
  uint32_t waiters;
  int fd;
  uint8_t want, armed; /* UV_READABLE | UV_WRITABLE */
  uint8_t dirty, closed;
};

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

/* Was woken, and has not had its turn yet. A thread that has gone on from the
 * wait keeps `on` while it goes round the ready queue, but as another kind. */
static int on_its_way(const struct green_fd *f, const struct last *last) {
  const struct green_thread *t = last->thread;
  return t && t->on == f && t->kind == last->kind && t->state == GREEN_READY;
}

/* Wakes who waits; stops watching what nobody waits for. With 1,000 busy
 * connections a poll meets most of them still on their way: disarming those
 * cost three epoll_ctl a message and half of the throughput. */
static void ready(struct green_fd *f, struct green_list *list, uint8_t event) {
  if (green_wake_first(f->hub, list, GREEN_WOKEN)) return;
  if (!on_its_way(f, &f->last[event == UV_WRITABLE]))
    f->want &= (uint8_t)~event;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct green_fd *f = green__container(poll, struct green_fd, poll);
  if (status < 0) { /* libuv has stopped it: let the system call say why */
    f->armed = 0;
    green_wake_first(f->hub, &f->reader, GREEN_WOKEN);
    green_wake_first(f->hub, &f->writable, GREEN_WOKEN);
    f->want = 0;
    return;
  }
  if (events & UV_READABLE) ready(f, &f->reader, UV_READABLE);
  if (events & UV_WRITABLE) ready(f, &f->writable, UV_WRITABLE);
  mark_dirty(f);
}

static void reconcile(struct green_fd *f) {
  f->dirty = 0;
  if (f->closed || f->want == f->armed) return;
  if (f->want == 0)
    uv_poll_stop(&f->poll);
  else
    uv_poll_start(&f->poll, f->want, on_poll);
  f->armed = f->want;
}

int green__fds_reconcile(struct green_hub *h) {
  struct green_fd *f;
  while ((f = h->dirty_fds)) {
    h->dirty_fds = f->next_dirty;
    reconcile(f);
    drop(f);
  }
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

/* uv_poll_init makes the descriptor non-blocking; its flags belong to whoever
 * shares the open file (the shell shares a terminal), so they are put back. */
static int poll_init(struct green_hub *h, struct green_fd *f, int flags) {
  int r = uv_poll_init(h->loop, &f->poll, f->fd);
  if (!(flags & O_NONBLOCK)) fcntl(f->fd, F_SETFL, flags);
  return r;
}

int green_fd_open(struct green_hub *h, int fd, struct green_fd **out) {
  struct green_fd *f;
  int flags = fcntl(fd, F_GETFL), r;
  if (!green__at_home(h)) return UV_EPERM;
  if (flags < 0) return -errno; /* before the table grows to a wild number */
  if ((r = make_room(h, (uint32_t)fd)) < 0) return r;
  if ((f = h->fds[fd])) {
    f->refs++;
    *out = f;
    return 0;
  }
  if (!(f = green__alloc(sizeof *f))) return UV_ENOMEM;
  f->hub = h;
  f->fd = fd;
  if ((r = poll_init(h, f, flags)) < 0) {
    green__free(f);
    return r;
  }
  f->refs = 2;
  green_list_init(&f->reader);
  green_list_init(&f->writable);
  green_list_init(&f->turns);
  uv_unref((uv_handle_t *)&f->poll);
  h->open_handles++;
  h->fds[fd] = *out = f;
  return 0;
}

static void on_close(uv_handle_t *handle) {
  struct green_fd *f =
      green__container((uv_poll_t *)handle, struct green_fd, poll);
  handle->data = f->hub;
  green__handle_closed(handle); /* may free the hub, not the handle */
  drop(f);
}

static void shut(struct green_hub *h, struct green_fd *f) {
  if (f->closed) return;
  f->closed = 1;
  if (!green__at_home(h)) return; /* a child shares the parent's epoll */
  f->writer = NULL;
  green_wake_all(h, &f->reader, GREEN_CLOSED);
  green_wake_all(h, &f->writable, GREEN_CLOSED);
  green_wake_all(h, &f->turns, GREEN_CLOSED);
  h->fds[f->fd] = NULL;
  uv_poll_stop(&f->poll);
  uv_close((uv_handle_t *)&f->poll, on_close);
}

void green_fd_close(struct green_hub *h, struct green_fd *f) {
  shut(h, f);
  drop(f);
}

void green_fd_release(struct green_hub *h, struct green_fd *f) {
  if (f->refs - f->dirty == 2 || f->closed) { /* the last opener's */
    green_fd_close(h, f);
    return;
  }
  drop(f);
}

/* The openers cannot give their counts up when the hub is gone. */
void green__fds_close_all(struct green_hub *h) {
  uint32_t fd;
  green__fds_reconcile(h);
  for (fd = 0; fd < h->fds_room; fd++) {
    struct green_fd *f = h->fds[fd];
    if (!f) continue;
    f->refs = 1; /* libuv's */
    shut(h, f);
  }
}

int green_fd_number(const struct green_fd *f) {
  return f->fd;
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

/* The poll handle keeps a host's loop alive exactly while a thread waits. */
static void one_more(struct green_hub *h, struct green_fd *f, int event) {
  h->external++;
  if (f->waiters++ == 0) uv_ref((uv_handle_t *)&f->poll);
  f->want |= (uint8_t)event;
  mark_dirty(f);
}

static void one_less(struct green_hub *h, struct green_fd *f) {
  h->external--;
  if (--f->waiters == 0 && !f->closed) uv_unref((uv_handle_t *)&f->poll);
}

void green_fd_leave(struct green_hub *h, struct green_thread *t) {
  one_less(h, t->on);
}

int green_fd_link_reader(struct green_hub *h, struct green_fd *f,
                         struct green_node *node) {
  if (f->closed) return UV_EBADF;
  if (!green__list_empty(&f->reader)) return UV_EBUSY;
  node->thread = h->hot.current;
  green_list_add(&f->reader, node);
  one_more(h, f, UV_READABLE);
  return 0;
}

void green_fd_unlink(struct green_hub *h, struct green_fd *f,
                     struct green_node *node) {
  if (node->link.next) green_list_remove(node);
  one_less(h, f);
}

int green_fd_wait_begin(struct green_hub *h, struct green_fd *f, int event,
                        uint64_t deadline,
                        const struct green_wait_kind *kind) {
  struct green_list *list =
      event == GREEN_READABLE ? &f->reader : &f->writable;
  int r;
  if (f->closed) return UV_EBADF;
  if (!green__list_empty(list)) return UV_EBUSY;
  if (!kind) kind = event == GREEN_READABLE ? &read_kind : &write_kind;
  if ((r = green_wait_begin(h, kind, f, list, deadline)) < 0) return r;
  f->last[event == GREEN_WRITABLE].thread = h->hot.current;
  f->last[event == GREEN_WRITABLE].kind = kind;
  one_more(h, f, event);
  return 0;
}

static int keep(struct green_hub *h, int r) {
  return r < 0 ? r : green__result(h, (int)green_keep(h));
}

/* Tries once, without the loop. */
static int look(struct green_fd *f, int event) {
  struct pollfd p = {f->fd, event == GREEN_READABLE ? POLLIN : POLLOUT, 0};
  if (f->closed) return UV_EBADF;
  return poll(&p, 1, 0) > 0 ? 0 : UV_ETIMEDOUT;
}

int green_fd_wait(struct green_hub *h, struct green_fd *f, int event,
                  uint64_t deadline) {
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline == 0) return look(f, event);
  if ((r = green__enter(h)) < 0) return r;
  if ((r = green_keep_reserve(h)) < 0) return r;
  return keep(h, green_fd_wait_begin(h, f, event, deadline, NULL));
}

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
  if (deadline == 0) return UV_ETIMEDOUT;
  if ((r = green_keep_reserve(h)) < 0) return r;
  return keep(h, green_fd_turn_begin(h, f, deadline, NULL));
}

void green_fd_write_end(struct green_hub *h, struct green_fd *f) {
  if (f->closed || f->writer != h->hot.current) return;
  f->writer = green_wake_first(h, &f->turns, GREEN_WOKEN);
}

void green_fd_turn_undo(struct green_hub *h, struct green_thread *t) {
  struct green_fd *f = t->on;
  if (!f->closed && f->writer == t)
    f->writer = green_wake_first(h, &f->turns, GREEN_WOKEN);
}

/* --- anybody's descriptor --- */

static struct green_list *list_of(struct green_fd *f, int event) {
  return event == GREEN_READABLE ? &f->reader : &f->writable;
}

/* Watched no longer than the call: its owner may close it right after. */
static void unwatch(struct green_hub *h, struct green_fd *f, int event) {
  if (!f->closed && green__list_empty(list_of(f, event))) {
    f->want &= (uint8_t)~event;
    mark_dirty(f);
    green__fds_reconcile(h);
  }
}

int green_wait_fd(struct green_hub *h, int fd, int event, uint64_t deadline) {
  struct green_fd *f;
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  r = green_fd_open(h, fd, &f);
  if (r == UV_EPERM) /* epoll: regular files are always ready */
    return deadline > 0 ? green__enter(h) : 0;
  if (r < 0) return r;
  r = green_fd_wait(h, f, event, deadline);
  if (r != UV_EBUSY) unwatch(h, f, event);
  green_fd_release(h, f);
  return r;
}
