/* connect.c - the two ways to get a connection: to make one, to accept one.
 *
 * Both give a new descriptor, non-blocking and closed on exec, and tell the hub
 * that its number is another file's from now on.
 *
 * Green threads; with a deadline of 0, any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

/* Between two tries that another thread's or process's progress decides. */
enum { FIRST_PAUSE = 5000000, LONGEST_PAUSE = 100000000 };

/* Sleeps for *pause, and longer next time. UV_ETIMEDOUT: the deadline comes
 * first, or has passed. */
static int pause_until(struct green_hub *h, uint64_t deadline,
                       uint64_t *pause) {
  uint64_t until = green_in(*pause);
  if (green__passed(h, deadline)) return UV_ETIMEDOUT;
  if (*pause < LONGEST_PAUSE) *pause *= 2;
  return green_sleep(h, until < deadline ? until : deadline);
}

/* ----------------------------------------------------------- making one -- */

static const struct green_wait_kind connect_kind = {"connect", NULL,
                                                    green_fd_leave};

static int outcome(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return -errno;
  return -error;
}

static int await(struct green_hub *h, int fd, uint64_t deadline) {
  int r;
  while ((r = green__fd_look(fd, GREEN_WRITABLE)) == UV_ETIMEDOUT) {
    r = green__fd_await(h, fd, GREEN_WRITABLE, deadline, &connect_kind);
    if (r < 0) return r;
  }
  return r < 0 ? r : outcome(fd);
}

/* A Unix socket whose listener's queue is full says EAGAIN, and epoll does not
 * tell when that changes. */
static int reach(struct green_hub *h, int fd, const struct sockaddr *address,
                 socklen_t size, uint64_t deadline) {
  uint64_t pause = FIRST_PAUSE;
  int r;
  while (connect(fd, address, size) < 0) {
    if (errno == EINPROGRESS || errno == EINTR) return await(h, fd, deadline);
    if (errno != EAGAIN) return -errno;
    if ((r = pause_until(h, deadline, &pause)) < 0) return r;
  }
  return 0;
}

int green_connect(struct green_hub *h, const struct sockaddr *address,
                  socklen_t size, uint64_t deadline) {
  int r = green__enter_until(h, deadline), fd;
  if (r < 0) return r;
  if (size < sizeof(struct sockaddr) / 2) return UV_EINVAL; /* no family */
  fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
              0);
  if (fd < 0) return -errno;
  green_fd_forget(h, fd);
  r = reach(h, fd, address, size, deadline);
  if (r == 0) return fd;
  green_close_fd(h, fd);
  return r;
}

/* -------------------------------------------------------- accepting one -- */

static const struct green_wait_kind accept_kind = {"accept", NULL,
                                                   green_fd_leave};

/* accept() must not wait when the client has gone, or another process has taken
 * the connection. There is no flag for one call. */
static int no_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if (flags & O_NONBLOCK) return 0;
  return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* All other errors but a lack are those of a connection that broke in the
 * queue, and the next one may do better: Linux hands out any error of the
 * network so, and a firewall's EPERM. */
int green_accept_lasts(int error) {
  return error == EBADF || error == EINVAL || error == ENOTSOCK ||
         error == EFAULT || error == ENOSYS;
}

/* Connections wait in the kernel's queue until there is room again. */
static int is_lack(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

/* Is the connection gone, or did it never come to be? */
static int is_broken(int error) {
  return error != EAGAIN && !green_accept_lasts(error) && !is_lack(error);
}

/* So many broken connections in a row are passed over. */
enum { BROKEN = 64 };

int green_accept_next(int fd) {
  int r, tries = 0;
  do r = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (r < 0 && (errno == EINTR || (is_broken(errno) && ++tries < BROKEN)));
  return r < 0 ? -errno : r;
}

int green_accept(struct green_hub *h, int fd, uint64_t deadline) {
  uint64_t pause = FIRST_PAUSE;
  int r = green__enter_until(h, deadline);
  if (r == 0) r = no_blocking(fd);
  while (r == 0) {
    int accepted = green_accept_next(fd);
    if (accepted >= 0) {
      green_fd_forget(h, accepted);
      return accepted;
    }
    if (accepted == UV_EAGAIN) {
      r = green__fd_await(h, fd, GREEN_READABLE, deadline, &accept_kind);
    } else if (green_accept_lasts(-accepted) || accepted == -EOPNOTSUPP) {
      /* The last, that often, is a socket of datagrams. */
      r = accepted;
    } else {
      r = pause_until(h, deadline, &pause);
      if (r == UV_ETIMEDOUT) r = accepted; /* says more */
    }
  }
  return r;
}
