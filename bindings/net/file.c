/* file.c - the file of a Unix listener.
 *
 * Made with the rights that were asked for, never with more; replaced if
 * nobody listens on it; removed by the process that made it, unless another
 * file stands in its place by then.
 *
 * Never switches, never raises.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/socket.h"

/* A file that this process made, and how to know it again. */
struct lg_socket_file {
  dev_t dev;
  ino_t ino;
  pid_t pid;
  char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

/* A socket file that nobody listens on was left behind. */
static int is_stale(const struct sockaddr_un *un, socklen_t size) {
  int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  struct stat st;
  int fd, refused;
  if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) return 0;
  if ((fd = socket(AF_UNIX, type, 0)) < 0) return 0;
  refused = connect(fd, (const struct sockaddr *)un, size) < 0 &&
            errno == ECONNREFUSED;
  close(fd);
  return refused;
}

int lg_file_bind(int fd, const struct sockaddr_un *un, socklen_t size,
                 int mode) {
  const struct sockaddr *address = (const struct sockaddr *)un;
  int r;
  /* bind(2) makes the file with the mode of the descriptor, less the umask:
   * it never exists with more rights than asked for. */
  if (mode >= 0 && fchmod(fd, (mode_t)mode) < 0) return errno;
  r = bind(fd, address, size);
  if (r < 0 && errno == EADDRINUSE && *un->sun_path && is_stale(un, size)) {
    unlink(un->sun_path);
    r = bind(fd, address, size);
  }
  if (r < 0) return errno;
  /* What the umask took away. */
  if (mode >= 0 && *un->sun_path && chmod(un->sun_path, (mode_t)mode) < 0)
    return errno;
  return 0;
}

struct lg_socket_file *lg_file_own(const struct sockaddr_un *un) {
  struct lg_socket_file *file;
  struct stat st;
  if (!*un->sun_path || lstat(un->sun_path, &st) < 0) return NULL;
  if (!(file = malloc(sizeof *file))) return NULL;
  file->dev = st.st_dev;
  file->ino = st.st_ino;
  file->pid = getpid();
  memcpy(file->path, un->sun_path, sizeof un->sun_path);
  file->path[sizeof un->sun_path] = 0;
  return file;
}

void lg_file_remove(struct lg_socket_file *file) {
  struct stat st;
  if (!file) return;
  if (file->pid == getpid() && lstat(file->path, &st) == 0 &&
      st.st_dev == file->dev && st.st_ino == file->ino)
    unlink(file->path);
  free(file);
}
