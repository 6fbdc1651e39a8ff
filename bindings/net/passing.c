/* passing.c - descriptors: handed to another process, taken from one, adopted.
 *
 * A descriptor travels over a Unix connection beside bytes, of which there is
 * one at least. It is there only for the call that reads these bytes: another
 * way to read them loses it, so recvfd refuses to go past bytes that others
 * have read already.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/counts.h"
#include "runtime/boxed.h"

static const struct lg_op send_op, turn_op, recv_op;

/* The most bytes beside a descriptor: the kernel takes that many at once, or
 * none. The most descriptors that may come at once; all but the first are
 * closed. */
enum { MOST_DATA = 4096, MOST_FDS = 16 };

enum { AT_END = 5 }; /* of sendfd's arguments, see lg_kept_end() */

union control {
  char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
  struct cmsghdr align;
};

static struct lg_socket *local_socket(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  luaL_argcheck(L, s->kind->local, 1, "Unix connection expected");
  return s;
}

/* --- sending one --- */

/* The descriptor at that index, or that of an object with getfd. */
static int fd_of(lua_State *L, int index) {
  int top = lua_gettop(L);
  lua_Number fd;
  if (lua_isinteger(L, index)) return lg_int_or(lua_tonumber(L, index), -1);
  if (luaL_testudata(L, index, LUA_FILEHANDLE)) {
    luaL_Stream *f = lua_touserdata(L, index);
    return f->closef ? fileno(f->f) : -1;
  }
  if (luaL_getmetafield(L, index, "__index") == LUA_TNIL ||
      lua_getfield(L, index, "getfd") == LUA_TNIL)
    luaL_argerror(L, index, "descriptor expected");
  lua_pushvalue(L, index);
  lua_call(L, 1, 1);
  fd = (lua_Number)luaL_checkinteger(L, -1);
  lua_settop(L, top);
  return lg_int_or(fd, -1);
}

/* 0, or -errno: EAGAIN, nothing was sent. */
static int send_one(lua_State *L, struct lg_socket *s) {
  union control control;
  struct iovec iov;
  struct msghdr m;
  struct cmsghdr *c;
  int fd = (int)lua_tointeger(L, 2);
  ssize_t n;
  memset(&control, 0, sizeof control);
  memset(&m, 0, sizeof m);
  iov.iov_base = (void *)(intptr_t)lua_tolstring(L, 3, &iov.iov_len);
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control.space;
  m.msg_controllen = CMSG_SPACE(sizeof fd);
  c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  do n = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  s->sent += (uint64_t)n;
  return 0;
}

static int send_ends(lua_State *L, struct lg *G, struct lg_socket *s,
                     const char *why) {
  lg_write_end(G, s);
  if (why) return lg_fail_text(L, why);
  lua_pushinteger(L, 1);
  return 1;
}

/* The write side is ours. */
static int send_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r;
  if (s->fd < 0) return send_ends(L, G, s, "closed");
  if (s->sending && s->done)
    return send_ends(L, G, s, "a send was cut off before");
  r = send_one(L, s);
  if (r == 0) return send_ends(L, G, s, NULL);
  if (r != -EAGAIN) return send_ends(L, G, s, lg_socket_error(s, -r));
  if (s->polls) return send_ends(L, G, s, "timeout");
  r = lg_write_wait(L, G, s, &send_op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : send_ends(L, G, s, lg_wait_error(s, r));
}

/* sendfd(conn, fd [, data]) */
static int l_sendfd(lua_State *L) {
  struct lg_socket *s = local_socket(L);
  struct lg *G = s->G;
  size_t n;
  int r;
  lg_refuse_in_box(L, G, "sendfd");
  luaL_optlstring(L, 3, "x", &n);
  luaL_argcheck(L, n > 0 && n <= MOST_DATA, 3, "1 to 4096 bytes expected");
  lua_settop(L, 4);
  if (lua_isnil(L, 4)) { /* the object lives as long as its number is used */
    int fd = fd_of(L, 2);
    luaL_argcheck(L, fd >= 0, 2, "descriptor expected");
    lua_pushvalue(L, 2);
    lua_replace(L, 4);
    lua_pushinteger(L, fd);
    lua_replace(L, 2);
  }
  if (lua_isnil(L, 3)) {
    lua_pushlstring(L, "", 1); /* one zero byte */
    lua_replace(L, 3);
  }
  if (!s->polls && (r = lg_enter(L, G, &send_op)) >= 0) return r;
  if (s->fd < 0) return lg_push_closed(L);
  if (lg_write_try(G, s)) return send_go(L, G, s);
  if (s->polls) return lg_push_timeout(L);
  r = lg_write_turn(L, G, s, &turn_op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : lg_fail_text(L, lg_wait_error(s, r));
}

static int send_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  if (reason == GREEN_CLOSED) lg_socket_lost(s);
  if (likely(reason == GREEN_WOKEN)) return send_go(L, G, s);
  return send_ends(L, G, s, reason == GREEN_CLOSED ? "closed" : "timeout");
}

static void send_interrupted(lua_State *L, struct lg *G) {
  lg_write_end(G, lg_socket_at(L, 1));
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  if (likely(reason == GREEN_WOKEN)) return send_go(L, G, s);
  return reason == GREEN_TIMEOUT ? lg_push_timeout(L) : lg_push_closed(L);
}

static const struct lg_op send_op = {
    {"socket:sendfd", green_fd_turn_undo, green_fd_leave},
    l_sendfd,
    send_woken,
    send_interrupted};
static const struct lg_op turn_op = {
    {"socket:sendfd (turn)", green_fd_turn_undo, NULL},
    l_sendfd,
    turn_woken,
    NULL};

/* --- receiving one --- */

/* Of the descriptors that came, the first; the others are closed. -1: none. */
static int first_of(struct lg *G, struct msghdr *m) {
  struct cmsghdr *c;
  int first = -1;
  for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
    size_t i, n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (i = 0; i < n; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      green_fd_forget(G->hub, fd);
      if (first < 0)
        first = fd;
      else
        close(fd);
    }
  }
  return first;
}

/* Reads a descriptor and the bytes beside it: their number, or -errno. */
static ssize_t receive_one(struct lg_socket *s, char *data, int *fd) {
  union control control;
  struct iovec iov = {data, MOST_DATA};
  struct msghdr m;
  ssize_t n;
  memset(&m, 0, sizeof m);
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control.space;
  m.msg_controllen = sizeof control.space;
  do n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  *fd = first_of(s->G, &m);
  /* A descriptor came, but the process has no free number for it. */
  if (*fd < 0 && m.msg_flags & MSG_CTRUNC) return -EMFILE;
  return n;
}

/* Delivers the descriptor and the bytes that have arrived. Where memory is
 * short, the error tells that they are lost, and the descriptor is closed with
 * the socket, if not before. */
static int deliver(lua_State *L, struct lg_socket *s, const char *data,
                   size_t n, int fd) {
  s->received += n;
  if (fd < 0) { /* these bytes are to be read */
    lg_buffer_unread(L, s, data, n);
    return lg_fail_text(L, "no descriptor");
  }
  if (s->pending >= 0) close(s->pending); /* memory was short before */
  s->pending = fd;
  lua_pushinteger(L, fd);
  lua_pushlstring(L, data, n);
  if (s->pending != fd) return lg_push_closed(L); /* by a finalizer */
  s->pending = -1;
  return 2;
}

static int recv_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  char data[MOST_DATA];
  int fd = -1, r;
  ssize_t n;
  if (s->fd < 0) return lg_push_closed(L);
  if (lg_buffered(s)) return lg_fail_text(L, "bytes to be read come first");
  n = receive_one(s, data, &fd);
  s->woken &= n <= 0;
  if (n > 0) return deliver(L, s, data, (size_t)n, fd);
  if (n == 0) return lg_push_closed(L);
  if (n != -EAGAIN) return lg_socket_fail(L, s, (int)-n);
  if (!lg_read_may_wait(s)) return lg_push_timeout(L);
  r = lg_read_wait(L, G, s, &recv_op);
  return likely(r >= 0) ? r : lg_fail_text(L, lg_wait_error(s, r));
}

/* recvfd(conn) */
static int l_recvfd(lua_State *L) {
  struct lg_socket *s = local_socket(L);
  struct lg *G = s->G;
  lua_settop(L, 1);
  if (!s->polls) {
    int r = lg_enter(L, G, &recv_op);
    if (r >= 0) return r;
  }
  lg_read_begin(L, G, s, LG_READ_BEGINS);
  return recv_go(L, G, s);
}

static int recv_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_read_woken(L, reason);
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  return recv_go(L, G, s);
}

static const struct lg_op recv_op = {
    {"socket:recvfd", NULL, green_fd_leave}, l_recvfd, recv_woken, NULL};

/* --- who the peer is --- */

/* peercred(conn): process, user, group, as they were when it connected. */
static int l_peercred(lua_State *L) {
  const struct lg_socket *s = lg_socket(L, LG_CLIENT);
  struct ucred peer;
  socklen_t size = sizeof peer;
  luaL_argcheck(L, s->kind->local, 1, "Unix connection expected");
  if (s->fd < 0) return lg_push_closed(L);
  if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    return lg_socket_fail(L, s, errno);
  lua_pushinteger(L, peer.pid);
  lua_pushinteger(L, (lua_Integer)peer.uid);
  lua_pushinteger(L, (lua_Integer)peer.gid);
  return 3;
}

/* --- descriptors that are there --- */

static int look(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0) return -errno;
  return value;
}

/* kind_of_fd(fd): "tcp", "unix", "udp" or "unixdgram"; or nil, and why not. */
static int l_kind_of_fd(lua_State *L) {
  int fd = lg_int_or(luaL_checknumber(L, 1), -1);
  int type = look(fd, SO_TYPE), family = look(fd, SO_DOMAIN);
  int local = family == AF_UNIX;
  if (type < 0) return lg_fail_text(L, strerror(-type));
  if ((!local && family != AF_INET && family != AF_INET6) ||
      (type != SOCK_STREAM && type != SOCK_DGRAM))
    return lg_fail_text(L, "no socket of a kind that is known");
  if (type == SOCK_STREAM)
    lua_pushstring(L, local ? "unix" : "tcp");
  else
    lua_pushstring(L, local ? "unixdgram" : "udp");
  return 1;
}

/* adopt(sock, fd [, connected]): a new socket of that kind takes it, and the
 * role that the descriptor has. */
static int l_adopt(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_MASTER | LG_UNCONNECTED);
  int fd = lg_int_or(luaL_checknumber(L, 2), -1), connected;
  struct sockaddr_storage a;
  socklen_t size = sizeof a;
  lg_socket_shut(s); /* some have a descriptor from the beginning */
  lg_socket_adopt(s, fd);
  connected = lua_toboolean(L, 3) ||
              getpeername(fd, (struct sockaddr *)&a, &size) == 0;
  if (s->kind->datagram)
    lg_socket_become(L, 1, connected ? LG_CONNECTED : LG_UNCONNECTED);
  else if (look(fd, SO_ACCEPTCONN) > 0)
    lg_socket_become(L, 1, LG_SERVER);
  else
    lg_socket_become(L, 1, connected ? LG_CLIENT : LG_MASTER);
  lua_settop(L, 1);
  return 1;
}

/* pair(stream): two connected descriptors of the Unix family. */
static int l_pair(lua_State *L) {
  int type = lua_toboolean(L, 1) ? SOCK_STREAM : SOCK_DGRAM, fds[2], i;
  int flags = type | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int r = lg_may_open(L, lg_get(L), 2);
  if (r > 0) return lg_fail_text(L, green_strerror(-r));
  r = socketpair(AF_UNIX, flags, 0, fds);
  if (r < 0 && lg_socket_scarce(L, errno))
    r = socketpair(AF_UNIX, flags, 0, fds);
  if (r < 0) return lg_fail_text(L, green_strerror(-errno));
  for (i = 0; i < 2; i++) {
    green_fd_forget(lg_get(L)->hub, fds[i]);
    lua_pushinteger(L, fds[i]);
  }
  return 2;
}

void lg_open_passing(lua_State *L) {
  static const luaL_Reg functions[] = {{"sendfd", l_sendfd},
                                       {"recvfd", l_recvfd},
                                       {"peercred", l_peercred},
                                       {"kind_of_fd", l_kind_of_fd},
                                       {"adopt", l_adopt},
                                       {"pair", l_pair},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
