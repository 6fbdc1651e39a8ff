/* file.c - the file of a Unix listener, or of a datagram socket.
 *
 * Made with the rights that were asked for, never with more; replaced if
 * nobody listens on it; removed by the process that made it, unless another
 * file stands in its place by then.
 *
 * Between bind() and listen() a socket looks like one that was left behind, so
 * a process that starts at the same time would take its file away. A lock in a
 * file beside it, PATH.lock, is therefore held from before the one until after
 * the other: of two that start at once, one listens, and the other is told that
 * the address is in use. Death releases the lock; its file may stay then, and
 * is used again. A datagram socket is complete when it is bound, but of two
 * that find a file left behind, the later one would remove the earlier one's:
 * it has the lock until it is bound.
 *
 * Never switches, never raises.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/socket.h"

enum { PATH_SIZE = sizeof(((struct sockaddr_un *)0)->sun_path) + 1 };

/* A file that this process made, and how to know it again. One whose numbers
 * are 0 could not be looked at: it stays. */
struct lg_socket_file {
  dev_t dev;
  ino_t ino;
  pid_t pid;
  int lock; /* held until the socket listens; or -1 */
  char path[PATH_SIZE];
};

/* --- the lock --- */

static void lock_path(const char *path, char *to) {
  snprintf(to, PATH_SIZE + 8, "%s.lock", path);
}

/* A file of another user's can be locked all the same, if it can be read; and
 * where the kernel protects sticky directories it must not be opened as if it
 * could be made. */
static int open_lock(const char *path) {
  int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int fd = open(path, flags);
  if (fd < 0 && errno == ENOENT) fd = open(path, flags | O_CREAT, 0644);
  return fd < 0 ? -errno : fd;
}

/* Does the path still lead to that file? The one that had the lock before has
 * removed it. */
static int is_there(int fd, const char *path) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

/* 1, or 0: somebody else has it, who is about to listen. A file system that has
 * no locks must do without. */
static int hold(int fd) {
  int r;
  do r = flock(fd, LOCK_EX | LOCK_NB);
  while (r < 0 && errno == EINTR);
  return r == 0 || errno != EWOULDBLOCK;
}

/* Files that others remove before they are locked, in a row. */
enum { MOST_TRIES = 100 };

/* The lock's descriptor, or -errno. */
static int lock(const char *path) {
  char name[PATH_SIZE + 8];
  int tries;
  lock_path(path, name);
  for (tries = 0; tries < MOST_TRIES; tries++) {
    int fd = open_lock(name), held;
    if (fd < 0) return fd;
    held = hold(fd);
    if (held && is_there(fd, name)) return fd;
    close(fd);
    if (!held) break;
  }
  return -EADDRINUSE;
}

/* Gives it up, and its file. A negative one was never held. */
static void unlock(const char *path, int fd) {
  char name[PATH_SIZE + 8];
  if (fd < 0) return;
  lock_path(path, name);
  if (is_there(fd, name)) unlink(name);
  close(fd);
}

/* --- binding --- */

/* A socket file that nobody listens on was left behind: 1, 0 or -errno. An
 * owner of the other type does not refuse the connection: it is another error.
 */
static int is_stale(int type, const struct sockaddr_un *un, socklen_t size) {
  struct stat st;
  int fd, refused;
  if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) return 0;
  fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  refused = connect(fd, (const struct sockaddr *)un, size) < 0 &&
            errno == ECONNREFUSED;
  close(fd);
  return refused;
}

static int bind_anew(int fd, const struct sockaddr_un *un, socklen_t size) {
  const struct sockaddr *address = (const struct sockaddr *)un;
  socklen_t type_size = sizeof(int);
  int type, stale;
  if (bind(fd, address, size) == 0) return 0;
  if (errno != EADDRINUSE || !*un->sun_path) return errno;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0) return errno;
  stale = is_stale(type, un, size);
  if (stale < 0) return -stale;
  if (!stale) return EADDRINUSE;
  unlink(un->sun_path);
  return bind(fd, address, size) < 0 ? errno : 0;
}

static int bind_with_mode(int fd, const struct sockaddr_un *un, socklen_t size,
                          int mode) {
  int r;
  /* bind(2) makes the file with the mode of the descriptor, less the umask:
   * it never exists with more rights than asked for. */
  if (mode >= 0 && fchmod(fd, (mode_t)mode) < 0) return errno;
  r = bind_anew(fd, un, size);
  /* The rights that the umask took away. */
  if (r == 0 && mode >= 0 && *un->sun_path &&
      chmod(un->sun_path, (mode_t)mode) < 0) {
    r = errno;
    unlink(un->sun_path);
  }
  return r;
}

/* That of the address, with the lock; nothing is made yet. 0, or an errno. */
static int prepare(struct lg_socket_file *file, const struct sockaddr_un *un) {
  memset(file, 0, sizeof *file);
  memcpy(file->path, un->sun_path, sizeof un->sun_path);
  file->pid = getpid();
  file->lock = lock(file->path);
  return file->lock < 0 ? -file->lock : 0;
}

static void made(struct lg_socket_file *file) {
  struct stat st;
  if (lstat(file->path, &st) < 0) return;
  file->dev = st.st_dev;
  file->ino = st.st_ino;
}

int lg_file_bind(int fd, const struct sockaddr_un *un, socklen_t size,
                 int mode, struct lg_socket_file **out) {
  struct lg_socket_file *file;
  int r;
  *out = NULL;
  if (!*un->sun_path) return bind_with_mode(fd, un, size, mode);
  if (!(file = malloc(sizeof *file))) return ENOMEM;
  r = prepare(file, un);
  if (r == 0) r = bind_with_mode(fd, un, size, mode);
  if (r == 0) {
    made(file);
    *out = file;
    return 0;
  }
  unlock(file->path, file->lock);
  free(file);
  return r;
}

void lg_file_listens(struct lg_socket_file *file) {
  if (!file) return;
  unlock(file->path, file->lock);
  file->lock = -1;
}

void lg_file_remove(struct lg_socket_file *file) {
  struct stat st;
  if (!file) return;
  if (file->pid == getpid() && lstat(file->path, &st) == 0 &&
      st.st_dev == file->dev && st.st_ino == file->ino)
    unlink(file->path);
  if (file->pid == getpid())
    unlock(file->path, file->lock);
  else if (file->lock >= 0)
    close(file->lock); /* a forked child's copy */
  free(file);
}
