/* stderr.c - writes on descriptor 2 that its reader cannot block.
 *
 * Parent and children share the open file, so we never make it non-blocking:
 * they would lose output. We open a pipe or a terminal once more for each
 * report, as /proc/self/fd/2; that open file is ours and non-blocking. For a
 * socket, send() has a flag. Regular files and devices such as /dev/null take
 * everything.
 *
 * Any stack, any OS thread; green__stderr_now() also in a signal handler.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* The process must not die of SIGPIPE because the reader has gone. */
struct quiet {
  sigset_t before;
  int was_pending;
};

static void quiet_begin(struct quiet *q) {
  sigset_t pipe, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  q->was_pending = sigismember(&pending, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &q->before);
}

static void quiet_end(const struct quiet *q) {
  static const struct timespec at_once = {0, 0};
  int error = errno;
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  if (error == EPIPE && !q->was_pending) sigtimedwait(&pipe, NULL, &at_once);
  pthread_sigmask(SIG_SETMASK, &q->before, NULL);
  errno = error;
}

/* How many bytes need not be written again, including those that never can
 * be. */
static size_t done_with(ssize_t n, size_t length) {
  if (n >= 0) return (size_t)n;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0
                                                                   : length;
}

ssize_t green__write_quietly(int fd, const void *data, size_t size) {
  struct quiet q;
  ssize_t n;
  quiet_begin(&q);
  n = write(fd, data, size);
  quiet_end(&q);
  return n;
}

static size_t write_quietly(int fd, const char *text, size_t length) {
  return done_with(green__write_quietly(fd, text, length), length);
}

/* Returns 0 if it cannot be opened again (no /proc, or it belongs to another
 * user): then only the writer's OS thread can write without risk. */
static size_t write_reopened(const char *text, size_t length) {
  int fd =
      open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  size_t n;
  if (fd < 0) return 0;
  n = write_quietly(fd, text, length);
  close(fd);
  return n;
}

static int may_block(const struct stat *st) {
  int flags = fcntl(STDERR_FILENO, F_GETFL);
  if (flags >= 0 && flags & O_NONBLOCK) return 0; /* others have made it so */
  return S_ISFIFO(st->st_mode) ||
         (S_ISCHR(st->st_mode) && isatty(STDERR_FILENO));
}

size_t green__stderr_now(const char *text, size_t length) {
  struct stat st;
  int error = errno;
  size_t n;
  if (fstat(STDERR_FILENO, &st) < 0)
    n = length; /* it is closed */
  else if (S_ISSOCK(st.st_mode))
    n = done_with(
        send(STDERR_FILENO, text, length, MSG_DONTWAIT | MSG_NOSIGNAL),
        length);
  else if (may_block(&st))
    n = write_reopened(text, length);
  else
    n = write_quietly(STDERR_FILENO, text, length);
  errno = error;
  return n;
}

size_t green__stderr_wait(const char *text, size_t length) {
  struct pollfd p = {STDERR_FILENO, POLLOUT, 0};
  size_t n = done_with(write(STDERR_FILENO, text, length), length);
  if (n == 0 && errno != EINTR) poll(&p, 1, -1); /* others' O_NONBLOCK */
  return n;
}
