/* accept.c - accepting connections.
 *
 * A descriptor that was accepted waits in the listener until its object is
 * made, as that may run finalizers or raise: no connection is lost between the
 * kernel and the program.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <poll.h>

#include "net/socket.h"

static const struct lg_op accept_op;

/* Linux hands accept() the errors of the connection that broke meanwhile. */
static int try_next(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH: return 1;
    default: return 0;
  }
}

/* The kernel looks for a free descriptor before it looks for a connection:
 * without the second, the lack of the first is no error. */
static int accept_one(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  int r, error;
  do r = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (r < 0 && try_next(errno));
  if (r >= 0) return r;
  error = errno;
  if ((error == EMFILE || error == ENFILE) && poll(&p, 1, 0) == 0)
    return -EAGAIN;
  return -error;
}

/* A connection waits in the listener: 1; else 0 or -errno. */
static int fetch_one(lua_State *L, struct lg_socket *s) {
  int r;
  if (s->pending >= 0) return 1;
  r = accept_one(s->fd);
  if (r < 0 && lg_socket_scarce(L, -r)) {
    if (s->fd < 0) return -EBADF; /* a finalizer closed it */
    if (s->pending >= 0) return 1;
    r = accept_one(s->fd);
  }
  if (r < 0) return r == -EAGAIN ? 0 : r;
  s->pending = r;
  return 1;
}

int lg_accept_now(lua_State *L, struct lg_socket *s) {
  struct lg_socket *c;
  int r;
  for (;;) {
    if (s->fd < 0) return lg_push_closed(L);
    r = fetch_one(L, s);
    if (r == 0) return 0;
    if (s->fd < 0) return lg_push_closed(L);
    if (r < 0) return lg_socket_fail(L, s, -r);
    c = lg_socket_new(L, s->head.G, s->kind);
    if (likely(s->pending >= 0)) break;
    lua_pop(L, 1); /* a finalizer took it, or closed the listener */
  }
  c->family = s->family;
  c->fd = s->pending;
  c->max_line = s->head.G->net->max_client_line;
  s->pending = -1;
  lg_socket_become(L, -1, LG_CLIENT);
  return 1;
}

static int accept_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r = lg_accept_now(L, s);
  if (r) return r;
  if (!lg_read_may_wait(s)) return lg_push_timeout(L);
  return lg_read_wait(L, G, s, &accept_op);
}

int lg_socket_accept(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_SERVER);
  struct lg *G = s->head.G;
  lua_settop(L, 1);
  if (!s->polls) {
    int r = lg_enter(L, G, &accept_op);
    if (r >= 0) return r;
  }
  lg_read_begin(L, G, s);
  return accept_go(L, G, s);
}

static int accept_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_read_woken(L, reason);
  if (reason != GREEN_CLOSED) return accept_go(L, G, s);
  return lg_fail_text(L, s->fd < 0 ? "closed" : "stopped");
}

static const struct lg_op accept_op = {{"socket:accept", NULL, green_fd_leave},
                                       lg_socket_accept,
                                       accept_woken,
                                       NULL};

/* stop_accept(listener): the thread that waits in accept gets nil, "stopped".
 * For serve, whose handlers may end it. */
int lg_socket_stop_accept(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_SERVER);
  struct green_hub *hub = s->head.G->hub;
  struct green_thread *t = lg_socket_reader(s);
  lua_pushboolean(
      L, t && t->kind == &accept_op.kind && green_wake(hub, t, GREEN_CLOSED));
  return 1;
}

int lg_socket_listen(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_MASTER);
  int backlog = lg_int_or(luaL_optnumber(L, 2, 32), INT_MAX);
  if (s->fd < 0) return lg_push_closed(L);
  if (listen(s->fd, backlog) < 0) return lg_socket_fail(L, s, errno);
  lg_socket_become(L, 1, LG_SERVER);
  lua_pushinteger(L, 1);
  return 1;
}
