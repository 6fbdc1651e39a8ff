/* readable.c - sockets among many things: a listener accepts, a connection
 * becomes readable.
 *
 * The wait stands in the core's list of readers of the descriptor, where only
 * one thread may be, and once: where it is listed twice, the first case goes
 * on.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/waitable.h"

/* The thread that waits refers to the object, whose finalizer has not run. */
static struct lg_socket *socket_of(const void *object) {
  struct lg_socket *s = ((const struct lg_socket_object *)object)->socket;
  assert(s);
  return s;
}

/* --- the reader's place --- */

static int link_reader(struct lg *G, void *object, struct green_node *node,
                       void **where) {
  struct lg_socket *s = socket_of(object);
  int r = s->f ? 0 : green_fd_open(G->hub, s->fd, &s->f);
  if (r == 0 && green_fd_reader(s->f) == lg_current(G)) return 0;
  if (r == 0) r = green_fd_link(G->hub, s->f, GREEN_READABLE, node);
  if (r == UV_EBADF) lg_socket_lost(s); /* asked again, it says "closed" */
  if (r < 0) return r;
  s->drained = 0;
  *where = s->f;
  return 0;
}

static void unlink_reader(struct green_hub *hub, void *where,
                          struct green_node *node) {
  green_fd_unlink(hub, where, node);
}

static int busy(lua_State *L, struct lg *G, void *object) {
  struct lg_socket *s = socket_of(object);
  return lg_second_reader(L, G, green_fd_reader(s->f));
}

/* The attempt after a wait. If the attempt fails after all, the former owner of
 * the descriptor's number may have caused the wake-up. */
static int fetch(lua_State *L, void *object, int reason,
                 int attempt(lua_State *L, struct lg *G, void *object,
                             int at)) {
  struct lg_socket *s = socket_of(object);
  int r;
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  r = attempt(L, s->G, object, 0);
  return r < 0 && lg_socket_doubt(s) ? lg_push_closed(L) : r;
}

/* --- a listener: accept --- */

static int accept_attempt(lua_State *L, struct lg *G, void *object, int at) {
  int r = lg_accept_now(L, socket_of(object));
  (void)G, (void)at;
  return r ? r : -1;
}

static int accept_fetch(lua_State *L, struct lg *G, void *object, int at,
                        int reason) {
  (void)G, (void)at;
  return fetch(L, object, reason, accept_attempt);
}

const struct lg_waitable lg_accept_waitable = {
    .op = {.kind = {.name = "socket:accept"}},
    .attempt = accept_attempt,
    .fetch = accept_fetch,
    .link = link_reader,
    .unlink = unlink_reader,
    .busy = busy};

/* --- a connection: readable --- */

/* An open layer may hold bytes to read while the descriptor has none; and bytes
 * at the descriptor may hold nothing for the reader. Only a read can tell. */
int lg_socket_is_readable(lua_State *L, struct lg_socket *s) {
  struct pollfd p = {s->fd, POLLIN, 0};
  if (lg_buffered(s)) return 1;
  if (likely(!s->layer || !s->layer->readable || s->opening))
    return poll(&p, 1, 0) > 0;
  s->drained = 0;
  return lg_read_some(L, s, LG_SCRATCH) != -EAGAIN;
}

static int readable_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct lg_socket *s = socket_of(object);
  (void)G, (void)at;
  if (s->fd < 0) return lg_push_closed(L);
  if (!lg_socket_is_readable(L, s)) return -1;
  lua_pushboolean(L, 1);
  return 1;
}

static int readable_fetch(lua_State *L, struct lg *G, void *object, int at,
                          int reason) {
  (void)G, (void)at;
  return fetch(L, object, reason, readable_attempt);
}

const struct lg_waitable lg_readable_waitable = {
    .op = {.kind = {.name = "readable"}},
    .attempt = readable_attempt,
    .fetch = readable_fetch,
    .link = link_reader,
    .unlink = unlink_reader,
    .busy = busy};
