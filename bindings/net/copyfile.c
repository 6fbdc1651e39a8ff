/* copyfile.c - copies with a file on disk on one side.
 *
 * Files are those of Lua's io library. A file is sent by the kernel, from where
 * it stands, and stands behind what was sent afterwards, whatever cut the copy
 * off. It is written through the stream that Lua has of it. Disks cannot be
 * waited for greenly: the thread waits in the kernel for as long as they take.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net/calls.h"
#include "net/copy.h"

static const struct lg_op write_op, turn_op;

/* The bytes of a piece, and the pieces in a row before others get a turn. */
enum { PIECE = 1 << 20, GREEDY = 4 };

/* --- the file --- */

/* NULL: it was closed meanwhile. */
static FILE *file_at(lua_State *L, int side) {
  luaL_Stream *stream = lua_touserdata(L, side);
  return stream->closef ? stream->f : NULL;
}

void lg_copy_check_file(lua_State *L, int side) {
  FILE *f = file_at(L, side);
  struct stat st;
  luaL_argcheck(L, f, side, "attempt to use a closed file");
  luaL_argcheck(L, fstat(fileno(f), &st) < 0 || S_ISREG(st.st_mode), side,
                "file on disk expected");
}

int lg_copy_write_file(lua_State *L, struct lg_socket *from, int *results) {
  size_t have = lg_buffered(from), left = lg_copy_left(L), n;
  FILE *f = file_at(L, LG_COPY_TO);
  if (have > left) have = left;
  if (!have) return 0;
  if (!f) {
    *results = lg_copy_fails(L, LG_COPY_TO, "closed");
    return -1;
  }
  n = fwrite(from->buffer + from->at, 1, have, f);
  if (n) {
    lg_copy_more(L, n);
    lg_buffer_consume(from, n);
  }
  if (n == have) return 0;
  *results = lg_copy_fails(L, LG_COPY_TO, strerror(errno));
  return -1;
}

/* --- sending it --- */

/* sendfile() knows no MSG_NOSIGNAL: a SIGPIPE of its own is taken back. */
static ssize_t send_quietly(int to, int fd, off_t at, size_t n) {
  const struct timespec now = {0, 0};
  sigset_t pipe, before, pending;
  ssize_t r;
  int error;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  do r = sendfile(to, fd, &at, n);
  while (r < 0 && errno == EINTR);
  error = errno;
  if (r < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
    sigtimedwait(&pipe, NULL, &now);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return r < 0 ? -error : r;
}

/* By memory, where the kernel cannot. The room is that for what is received,
 * and is left as it was. */
static ssize_t send_by_memory(lua_State *L, struct lg_socket *to, int fd,
                              off_t at, size_t n) {
  size_t room;
  char *piece = lg_buffer_room(L, to, &room);
  ssize_t got;
  if (to->fd < 0) return -EPIPE; /* a finalizer closed it */
  got = pread(fd, piece, n < room ? n : room, at);
  if (got <= 0) return got < 0 ? -errno : 0;
  return lg_write_some(to, piece, (size_t)got);
}

static ssize_t send_piece(lua_State *L, struct lg_socket *to, FILE *f,
                          off_t at, size_t n) {
  ssize_t r;
  if (n > PIECE) n = PIECE;
  if (to->layer) return send_by_memory(L, to, fileno(f), at, n);
  r = send_quietly(to->fd, fileno(f), at, n);
  if (r == -EINVAL || r == -ENOSYS || r == -EOVERFLOW)
    r = send_by_memory(L, to, fileno(f), at, n);
  return r;
}

/* --- the call --- */

/* The turn is ours. */
static int go(lua_State *L, struct lg *G) {
  struct lg_socket *to = lg_socket_at(L, LG_COPY_TO);
  int rounds;
  for (rounds = 0;; rounds++) {
    FILE *f = file_at(L, LG_COPY_FROM);
    const char *why = lg_copy_cannot_write(L, to);
    off_t at = f ? ftello(f) : -1;
    ssize_t n;
    if (why) return lg_copy_fails_in_turn(L, to, LG_COPY_TO, why);
    if (at < 0)
      return lg_copy_fails_in_turn(L, to, LG_COPY_FROM,
                                   f ? strerror(errno) : "closed");
    /* There is room, perhaps: then this wait only lets the others run. */
    if (rounds == GREEDY && !to->polls)
      return lg_copy_wait_room(L, to, &write_op);
    n = lg_copy_left(L) ? send_piece(L, to, f, at, lg_copy_left(L)) : 0;
    if (n == 0 && lg_layer_held(to)) n = lg_write_some(to, "", 0);
    if (n == 0) break;
    if (n == -EAGAIN) return lg_copy_wait_room(L, to, &write_op);
    if (n < 0)
      return lg_copy_fails_in_turn(L, to, LG_COPY_TO,
                                   lg_socket_error(to, (int)-n));
    to->sent += (uint64_t)n;
    lg_copy_more(L, (size_t)n);
    fseeko(f, at + n, SEEK_SET);
  }
  lg_write_end(G, to);
  return lg_copy_ends(L);
}

static int begin(lua_State *L, struct lg *G) {
  struct lg_socket *to = lg_socket_at(L, LG_COPY_TO);
  if (to->fd < 0) return lg_copy_fails(L, LG_COPY_TO, "closed");
  if (likely(lg_write_try(G, to))) return go(L, G);
  return lg_copy_wait_turn(L, to, &turn_op);
}

static int not_open(lua_State *L, struct lg_socket *s, const char *why) {
  (void)s;
  return lg_copy_fails(L, LG_COPY_TO, why);
}

static int opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  FILE *f = file_at(L, LG_COPY_FROM);
  (void)end;        /* LG_COPY_END has it */
  if (f) fflush(f); /* its bytes are to be sent, too */
  return begin(L, s->G);
}

static const struct lg_opening opening = {&write_op, not_open, opened};

int lg_copy_from_file(lua_State *L) {
  struct lg_socket *to = lg_socket_at(L, LG_COPY_TO);
  struct lg *G = to->G;
  int r;
  if (!to->polls && (r = lg_enter(L, G, &write_op)) >= 0) return r;
  if ((r = lg_open_layer(L, G, to, &opening)) >= 0) return r;
  return opened(L, to, GREEN_FOREVER);
}

static int write_woken(lua_State *L, struct lg *G, int reason) {
  int results = lg_copy_has_room(L, reason);
  return likely(results < 0) ? go(L, G) : results;
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  int results = lg_copy_has_turn(L, reason);
  return likely(results < 0) ? go(L, G) : results;
}

static const struct lg_op write_op = {
    {"copy of a file", green_fd_turn_undo, green_fd_leave},
    lg_copy_from_file,
    write_woken,
    lg_copy_interrupted};
static const struct lg_op turn_op = {
    {"copy of a file (turn)", green_fd_turn_undo, NULL},
    lg_copy_from_file,
    turn_woken,
    NULL};
