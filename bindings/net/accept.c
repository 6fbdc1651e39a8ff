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
#include <poll.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/counts.h"

static const struct lg_op accept_op;

/* The kernel looks for a free descriptor before it looks for a connection:
 * without the second, the lack of the first is no error. */
static int accept_one(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  int r = green_accept_next(fd);
  if ((r == -EMFILE || r == -ENFILE) && poll(&p, 1, 0) == 0) return -EAGAIN;
  return r;
}

/* Has the state, or the sandbox, room for one more? As the kernel, it looks
 * first whether anybody connects. */
static int lacks_room(lua_State *L, struct lg_socket *s) {
  struct pollfd p = {s->fd, POLLIN, 0};
  int error = lg_may_open(L, s->G, 1);
  if (likely(!error)) return 0;
  return s->fd >= 0 && poll(&p, 1, 0) == 0 ? -EAGAIN : -error;
}

static int accept_any(struct lg_socket *s) {
  if (likely(!s->several)) return accept_one(s->fd);
  return lg_several_accept(s->several, accept_one);
}

/* A connection waits in the listener: 1; else 0 or -errno. */
static int fetch_one(lua_State *L, struct lg_socket *s) {
  int r;
  if (s->pending >= 0) return 1;
  if (unlikely((r = lacks_room(L, s)) < 0)) return r == -EAGAIN ? 0 : r;
  if (unlikely(s->fd < 0)) return -EBADF;
  r = accept_any(s);
  if (r < 0 && lg_socket_scarce(L, -r)) {
    if (s->fd < 0) return -EBADF; /* a finalizer closed it */
    if (s->pending >= 0) return 1;
    r = accept_any(s);
  }
  if (r < 0) return r == -EAGAIN ? 0 : r;
  assert(s->pending < 0); /* else a descriptor would be lost */
  s->pending = r;
  s->woken = 0;
  green_fd_forget(s->G->hub, r);
  return 1;
}

static int accept_fails(lua_State *L, struct lg_socket *s, int code) {
  s->lasting = (uint8_t)green_accept_lasts(-code);
  return lg_fail_text(L, lg_wait_error(s, code));
}

/* accept_may_pass(listener): the last error of accept is not the end. */
int lg_l_accept_may_pass(lua_State *L) {
  const struct lg_socket *s = lg_to_socket(L, 1);
  lua_pushboolean(L, s && s->role == LG_SERVER && s->fd >= 0 && !s->lasting);
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
    if (r < 0) return accept_fails(L, s, r);
    c = lg_socket_new(L, s->G, s->kind);
    if (likely(s->pending >= 0)) break;
    lua_pop(L, 1); /* a finalizer took it, or closed the listener */
  }
  c->family = s->several ? lg_several_family(s->several) : s->family;
  c->fd = s->pending;
  lg_socket_count(c, 1);
  c->lingers = s->lingers; /* the kernel hands it on */
  c->resets = s->resets;
  if (!s->kind->luasocket) c->max_line = s->G->net->max_client_line;
  s->pending = -1;
  lg_socket_become(L, -1, LG_CLIENT);
  if (unlikely(s->layer) && (r = s->layer->accepted(s, c)) < 0) {
    lg_socket_shut(c);
    return lg_socket_fail(L, s, -r);
  }
  return 1;
}

static int accept_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r = lg_accept_now(L, s);
  if (r) return r;
  if (!lg_read_may_wait(s)) return lg_push_timeout(L);
  r = lg_read_wait(L, G, s, &accept_op);
  return likely(r >= 0) ? r : accept_fails(L, s, r);
}

int lg_socket_accept(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_SERVER);
  struct lg *G = s->G;
  lua_settop(L, 1);
  if (!s->polls) {
    int r = lg_enter(L, G, &accept_op);
    if (r >= 0) return r;
  }
  lg_read_begin(L, G, s, LG_READ_BEGINS);
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
  struct green_hub *hub = s->G->hub;
  struct green_thread *t = lg_socket_reader(s);
  lua_pushboolean(
      L, t && t->kind == &accept_op.kind && green_wake(hub, t, GREEN_CLOSED));
  return 1;
}

/* refused(): how often the kernel has refused to watch a descriptor. */
int lg_l_refused(lua_State *L) {
  lua_pushinteger(L, green_fd_refused(lg_get(L)->hub));
  return 1;
}

int lg_socket_listen(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_MASTER);
  int backlog = lg_int_or(luaL_optnumber(L, 2, 32), INT_MAX);
  if (s->fd < 0) return lg_socket_unopened(L, s);
  if (listen(s->fd, backlog) < 0) return lg_socket_fail(L, s, errno);
  lg_file_listens(s->file);
  lg_socket_become(L, 1, LG_SERVER);
  lua_pushinteger(L, 1);
  return 1;
}
