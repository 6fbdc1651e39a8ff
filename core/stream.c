/* stream.c - reads and writes of descriptors, by threads that wait.
 *
 * A call tries first, and waits when the kernel says so. Descriptors may be of
 * any kind, and their O_NONBLOCK flag is left alone: sockets have a flag for
 * each call, others are asked before. The hub goes on watching a descriptor
 * between two waits, as that saves the kernel two calls in three. Since its
 * owner may close it without a word, each wait asks the kernel first whether it
 * still is the one that is watched, and the hub asks now and then during the
 * wait (borrowed.c).
 *
 * A writer holds the turn to write only when it has to wait: until then nobody
 * else runs.
 *
 * Green threads; with a deadline of 0, any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

int green__enter_until(struct green_hub *h, uint64_t deadline) {
  if (deadline > 0) return green__enter(h);
  return green__at_home(h) && !h->hot.closed ? 0 : UV_EPERM;
}

/* --- waiting --- */

int green__fd_await(struct green_hub *h, int fd, int event, uint64_t deadline,
                    const struct green_wait_kind *kind) {
  struct green_fd *f;
  int r;
  if (green__passed(h, deadline)) return UV_ETIMEDOUT;
  if ((r = green_keep_reserve(h)) < 0) return r;
  if ((r = green_fd_open(h, fd, &f)) < 0) return r;
  green__fd_keep(h, f);
  r = green_fd_wait_begin(h, f, event, deadline, kind);
  if (r == 0) r = green__result(h, (int)green_keep(h));
  green_fd_release(h, f);
  return r == UV_EPERM ? 0 : r; /* epoll's word for files: always ready */
}

static int would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

/* Not a socket: may a call be made that must not wait? errno is EAGAIN, else.
 */
static int is_ready(int fd, int event) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return 0;
  if (flags & O_NONBLOCK || green__fd_look(fd, event) != UV_ETIMEDOUT)
    return 1;
  errno = EAGAIN;
  return 0;
}

/* --- reading --- */

static ssize_t read_some(int fd, void *data, size_t size) {
  ssize_t n;
  do {
    n = recv(fd, data, size, MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK)
      n = is_ready(fd, GREEN_READABLE) ? read(fd, data, size) : -1;
  } while (n < 0 && errno == EINTR);
  return n;
}

static const struct green_wait_kind read_kind = {"read", NULL, green_fd_leave};

static struct green_fd *find(const struct green_hub *h, int fd) {
  return fd >= 0 && (uint32_t)fd < h->fds_room ? h->fds[fd] : NULL;
}

/* A read that took less than it had room for took all that there was. The next
 * read waits at once, without a try: if there is more by now, the kernel says
 * so in the next poll. */
static void note_rest(struct green_hub *h, int fd, int drained) {
  struct green_fd *f = find(h, fd);
  if (f) f->drained = (uint8_t)drained;
}

static int must_wait(struct green_hub *h, int fd, uint64_t deadline) {
  struct green_fd *f = find(h, fd);
  if (!f || !f->drained || green__passed(h, deadline)) return 0;
  f->drained = 0;
  return 1;
}

int64_t green_read(struct green_hub *h, int fd, void *data, size_t size,
                   uint64_t deadline) {
  int r = size > 0 ? green__enter_until(h, deadline) : UV_EINVAL;
  if (r == 0 && must_wait(h, fd, deadline))
    r = green__fd_await(h, fd, GREEN_READABLE, deadline, &read_kind);
  while (r == 0) {
    ssize_t n = read_some(fd, data, size);
    note_rest(h, fd, n > 0 && (size_t)n < size);
    if (n >= 0) return n;
    if (!would_block(errno)) return -errno;
    r = green__fd_await(h, fd, GREEN_READABLE, deadline, &read_kind);
  }
  return r;
}

/* --- writing --- */

/* The most that a ready pipe or terminal takes without blocking. */
static size_t room_of(int fd, size_t size) {
  enum { TERMINAL = 256 }; /* Linux says "writable" from there on */
  struct stat st;
  size_t room = size;
  if (size <= TERMINAL || fstat(fd, &st) < 0) return size;
  if (S_ISFIFO(st.st_mode)) room = PIPE_BUF;
  if (S_ISCHR(st.st_mode)) room = TERMINAL;
  return size < room ? size : room;
}

static ssize_t write_file(int fd, const void *data, size_t size) {
  if (!is_ready(fd, GREEN_WRITABLE)) return -1;
  if (!(fcntl(fd, F_GETFL) & O_NONBLOCK)) size = room_of(fd, size);
  return green__write_quietly(fd, data, size);
}

static ssize_t write_some(int fd, const void *data, size_t size) {
  ssize_t n;
  do {
    n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = write_file(fd, data, size);
  } while (n < 0 && errno == EINTR);
  return n;
}

struct writing {
  int fd;
  const char *data;
  size_t left;
};

/* 0 when all is written; UV_EAGAIN when no more can be at once. */
static int write_on(struct writing *w) {
  while (w->left > 0) {
    ssize_t n = write_some(w->fd, w->data, w->left);
    if (n < 0) return would_block(errno) ? UV_EAGAIN : -errno;
    w->data += n;
    w->left -= (size_t)n;
  }
  return 0;
}

static const struct green_wait_kind write_kind = {"write", NULL,
                                                  green_fd_leave};

/* The caller has the turn. */
static int write_waiting(struct green_hub *h, struct writing *w,
                         uint64_t deadline) {
  int r;
  while ((r = write_on(w)) == UV_EAGAIN) {
    r = green__fd_await(h, w->fd, GREEN_WRITABLE, deadline, &write_kind);
    if (r < 0) return r;
  }
  return r;
}

/* Nobody runs between the try and the caller's first bytes. */
static int take_turn(struct green_hub *h, struct green_fd *f,
                     uint64_t deadline) {
  int r = green_fd_write_try(h, f);
  if (r != UV_EAGAIN) return r;
  return green_fd_write_begin(h, f, deadline);
}

static int write_in_turn(struct green_hub *h, struct writing *w,
                         uint64_t deadline) {
  struct green_fd *f;
  int r;
  if (green__passed(h, deadline)) return UV_ETIMEDOUT;
  if ((r = green_fd_open(h, w->fd, &f)) < 0) return r;
  r = take_turn(h, f, deadline);
  if (r == 0) {
    r = write_waiting(h, w, deadline);
    green_fd_write_end(h, f);
  }
  green_fd_release(h, f);
  return r;
}

static int has_turn(const struct green_hub *h, int fd) {
  const struct green_fd *f = find(h, fd);
  return f && f->writer && f->writer != h->hot.current;
}

int green_write(struct green_hub *h, int fd, const void *data, size_t size,
                uint64_t deadline, size_t *written) {
  struct writing w = {fd, data, size};
  int r = green__enter_until(h, deadline);
  if (r == 0) r = has_turn(h, fd) ? UV_EAGAIN : write_on(&w);
  if (r == UV_EAGAIN) r = write_in_turn(h, &w, deadline);
  if (written) *written = size - w.left;
  return r;
}

/* --- closing --- */

int green_close_fd(struct green_hub *h, int fd) {
  if (!green__at_home(h)) return UV_EPERM;
  green_fd_forget(h, fd);
  return close(fd) < 0 ? -errno : 0;
}
