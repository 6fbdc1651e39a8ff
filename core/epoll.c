/* epoll.c - the kernel's list of watched descriptors.
 *
 * Owns the hub's epoll. The core makes these system calls itself, because libuv
 * aborts the process when one of its own fails: when memory is short, at the
 * kernel's limit of watches, or for a descriptor that somebody closed. Here
 * each failure is an error code for the caller.
 *
 * The kernel knows a registration by the open file and the number together.
 * Closing the number removes the registration only if it was the last
 * descriptor of the file. While a duplicate lives, here or in a forked child,
 * events keep coming, and no call can name the registration any more. So each
 * event carries a tag beside the number. An event with an old tag marks the
 * list as stale, and the hub replaces a stale list with a new one.
 *
 * On a loop of the hub's own, epoll watches libuv's descriptor, and the hub
 * sleeps here. Otherwise the host's loop watches epoll (host.c).
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

/* The tag of what is no green_fd: libuv's own descriptor, and the bell. */
enum { NO_FD = 0 };

static uint32_t kernels(int events) {
  return (events & UV_READABLE ? EPOLLIN : 0u) |
         (events & UV_WRITABLE ? EPOLLOUT : 0u);
}

/* An error or a hang-up makes both directions ready. */
static int ours(uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) return UV_READABLE | UV_WRITABLE;
  return (events & EPOLLIN ? UV_READABLE : 0) |
         (events & EPOLLOUT ? UV_WRITABLE : 0);
}

static int control(int ep, int op, int fd, uint32_t tag, uint32_t events) {
  struct epoll_event e;
  memset(&e, 0, sizeof e);
  e.events = events;
  e.data.u64 = (uint64_t)tag << 32 | (uint32_t)fd;
  return epoll_ctl(ep, op, fd, &e) == 0 ? 0 : -errno;
}

/* --- registrations --- */

int green__epoll_add(struct green_hub *h, int fd, uint32_t tag, int events) {
  int r = control(h->epoll.fd, EPOLL_CTL_ADD, fd, tag, kernels(events));
  /* The same file has a number again that it had before. */
  if (r == UV_EEXIST) r = green__epoll_change(h, fd, tag, events);
  return r;
}

int green__epoll_change(struct green_hub *h, int fd, uint32_t tag,
                        int events) {
  return control(h->epoll.fd, EPOLL_CTL_MOD, fd, tag, kernels(events));
}

int green__epoll_remove(struct green_hub *h, int fd) {
  return control(h->epoll.fd, EPOLL_CTL_DEL, fd, 0, 0);
}

static int add_bell(int ep, int fd) {
  return control(ep, EPOLL_CTL_ADD, fd, NO_FD, EPOLLIN | EPOLLET);
}

int green__epoll_add_bell(struct green_hub *h, int fd) {
  return add_bell(h->epoll.fd, fd);
}

/* --- events --- */

/* Each poll reports what nobody has read yet again, and with 1,000 busy
 * connections that took a tenth of their messages of 16 KB. So while as many
 * threads are ready anyway, one call fetches no more than FEW; the kernel goes
 * on with the others the next time. */
enum { FEW = 64 };

int green__epoll_wait(struct green_hub *h, int ms) {
  struct epoll_event events[GREEN__EVENTS];
  int most = h->hot.ready < FEW ? GREEN__EVENTS : FEW;
  int libuv = 0, i, n = epoll_wait(h->epoll.fd, events, most, ms);
  h->source = GREEN__BY_FD;
  for (i = 0; i < n; i++) {
    uint32_t tag = (uint32_t)(events[i].data.u64 >> 32);
    int fd = (int)(uint32_t)events[i].data.u64;
    if (tag == NO_FD)
      libuv |= fd != green__bell_fd(h);
    else if (!green__fd_event(h, fd, tag, ours(events[i].events)))
      h->epoll.stale = 1;
  }
  h->source = GREEN__BY_LIBUV;
  return libuv;
}

/* --- libuv --- */

/* libuv registers a descriptor when it next polls, and aborts the process if
 * that fails. It accepts one that is registered already. */
int green__libuv_register(uv_loop_t *loop, int fd) {
  struct epoll_event e;
  memset(&e, 0, sizeof e);
  e.events = EPOLLIN;
  e.data.fd = fd;
  if (epoll_ctl(uv_backend_fd(loop), EPOLL_CTL_ADD, fd, &e) == 0) return 0;
  return errno == EEXIST ? 0 : -errno;
}

int green__libuv_secure(uv_loop_t *loop) {
  int async = loop->async_io_watcher.fd, signal = loop->signal_io_watcher.fd;
  int r = async < 0 ? 0 : green__libuv_register(loop, async);
  return r < 0 || signal < 0 ? r : green__libuv_register(loop, signal);
}

/* The most that opening a loop takes: epoll, a pipe for the signals of the
 * process and one for the loop's, an eventfd, and from 1.45 on two rings. libuv
 * aborts if it cannot make the pipe, so check first. */
enum { LIBUV_DESCRIPTORS = 8 };

int green__libuv_has_room(void) {
  int fd[LIBUV_DESCRIPTORS], i, most = 0, r = 0;
  for (i = 0; i < LIBUV_DESCRIPTORS && r == 0; i++)
    if ((fd[i] = eventfd(0, EFD_CLOEXEC)) < 0)
      r = -errno;
    else if (fd[i] > most)
      most = fd[i];
  if (r < 0) i--;
  while (i-- > 0) close(fd[i]);
  return r < 0 ? r : green__libuv_has_memory(most);
}

/* libuv's table of watchers has a pointer for each number, and room for twice
 * as many. Up to 1.50 it aborts if there is no memory for that. */
int green__libuv_has_memory(int fd) {
  void *probe = green__alloc(((size_t)fd + 2) * 2 * sizeof(void *));
  green__free(probe);
  return probe ? 0 : UV_ENOMEM;
}

/* --- opening, anew, closing --- */

static int make(const struct green_hub *h) {
  int fd = epoll_create1(EPOLL_CLOEXEC), r;
  if (fd < 0) return -errno;
  if (h->options.drive != GREEN_DRIVE_MAIN) return fd;
  r = control(fd, EPOLL_CTL_ADD, uv_backend_fd(h->loop), NO_FD, EPOLLIN);
  if (r == 0) return fd;
  close(fd);
  return r;
}

int green__epoll_open(struct green_hub *h) {
  int fd = make(h);
  if (fd < 0) return fd;
  h->epoll.fd = fd;
  h->epoll.open = 1;
  return 0;
}

int green__epoll_renew(struct green_hub *h) {
  int r, fd = make(h);
  if (fd < 0) return fd;
  r = h->bell ? add_bell(fd, green__bell_fd(h)) : 0;
  if (r == 0) r = dup3(fd, h->epoll.fd, O_CLOEXEC) < 0 ? -errno : 0;
  close(fd);
  if (r == 0) h->epoll.stale = 0;
  return r;
}

void green__epoll_close(struct green_hub *h) {
  if (h->epoll.open) close(h->epoll.fd);
  h->epoll.open = 0;
}
